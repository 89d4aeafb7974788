public class Loop {
    public static void main(String[] args) {
        System.out.println("started");
        while (true) { }
    }
}
