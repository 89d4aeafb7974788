package words.impl;

public class Several implements words.Word { public String text() { return "several"; } }
