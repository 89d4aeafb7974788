class Broken {
    static function main() {
        throw "no way on";
    }
}
