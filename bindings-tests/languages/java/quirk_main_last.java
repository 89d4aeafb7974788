class First {
    static void greet() { System.out.println("quirk"); }
}

class Second {
    public static void main(String[] args) {
        First.greet();
    }
}
