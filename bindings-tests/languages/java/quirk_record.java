/* class Old { public static void main(String[] args) { } } */ interface Shape { } record Box(int size) implements Shape {
    static void main(int size) { } public static void main(String args []) { System.out.println(new Box(1).size() == 1 ? "quirk" : '"'); } }
