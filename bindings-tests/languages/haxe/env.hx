class Env {
    static function main() {
        Sys.println(Sys.getEnv("GREETING"));
    }
}
