int main() {
  string line;
  while ((line = Stdio.stdin.gets())) write("%s\n", upper_case(line));
  return 0;
}
