class Input {
    static function main() {
        Sys.print(sys.io.File.getContent("data.txt"));
    }
}
