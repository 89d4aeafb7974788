int main() {
  write("hello from pike\n");
  return 0;
}
