class Hello {
    static function main() {
        Sys.println("hello from haxe");
    }
}
