class Loop {
    static function main() {
        Sys.println("started");
        while (true) {}
    }
}
