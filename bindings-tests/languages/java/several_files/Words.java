package util;

public class Words { public static String of(Object it) { return it.toString(); } }
