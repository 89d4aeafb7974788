public class Broken {
    public static void main(String[] args) {
        Object nothing = null;
        nothing.hashCode();
    }
}
