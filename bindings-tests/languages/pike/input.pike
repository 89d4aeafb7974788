int main() {
  write(Stdio.read_file("data.txt"));
  return 0;
}
