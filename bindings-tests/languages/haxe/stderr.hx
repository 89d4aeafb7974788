class Err {
    static function main() {
        Sys.stderr().writeString("oops\n");
    }
}
