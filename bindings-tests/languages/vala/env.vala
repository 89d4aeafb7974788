void main() {
    stdout.printf("%s\n", Environment.get_variable("GREETING"));
}
