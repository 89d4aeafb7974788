void main(List<String> args) {
  args.forEach(print);
}
