int main() {
  write("%s\n", getenv("GREETING"));
  return 0;
}
