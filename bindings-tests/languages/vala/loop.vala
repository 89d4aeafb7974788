void main() {
    print("started\n");
    stdout.flush();
    while (true) {
    }
}
