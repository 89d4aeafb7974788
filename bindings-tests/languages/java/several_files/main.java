import util.Words;

public class Main {
    public static void main(String[] args) { System.out.println(Words.of(new Helper())); }
}
