class Alpha { static String s = "([Ljava/lang/String;)V main"; void main(String[] args) { } }

class Solution extends Base { }

class Base { public static void main(String... args) { System.out.println("quirk"); } }
