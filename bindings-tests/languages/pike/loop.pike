int main() {
  write("started\n");
  while (1);
}
