int main(int argc, array(string) argv) {
  foreach (argv[1..], string arg) write("%s\n", arg);
  return 0;
}
