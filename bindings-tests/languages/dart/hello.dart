void main() {
  print("hello from dart");
}
