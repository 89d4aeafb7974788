/*
public class Old {
}
*/
import java.util.*; public class Main { static String s = "public class X {"; public static void main(String[] args) { System.out.println("quirk"); } }
