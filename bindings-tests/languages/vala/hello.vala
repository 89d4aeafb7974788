void main() {
    print("hello from vala\n");
}
