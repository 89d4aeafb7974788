class Words {
  public static var one = "several";
}
