void main() {
    error("no way on");
}
