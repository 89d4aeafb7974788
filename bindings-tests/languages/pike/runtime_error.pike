int main() {
  error("no way on\n");
}
