void main() {
    string text;
    try {
        FileUtils.get_contents("data.txt", out text);
        stdout.printf("%s", text);
    } catch (FileError e) {
        error("%s", e.message);
    }
}
