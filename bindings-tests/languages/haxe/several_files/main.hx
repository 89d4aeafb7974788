class App {
  static function main() {
    Sys.println(Words.one);
  }
}
