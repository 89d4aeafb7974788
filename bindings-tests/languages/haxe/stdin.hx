class Upper {
    static function main() {
        try {
            while (true) Sys.println(Sys.stdin().readLine().toUpperCase());
        } catch (e:haxe.io.Eof) {}
    }
}
