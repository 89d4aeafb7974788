class Deep {
    static int depth(int n) { return n == 0 ? 0 : 1 + depth(n - 1); }

    public static void main(String[] args) throws Exception {
        Thread thread = new Thread(null, () -> System.out.println(depth(500_000) == 500_000 ? "quirk" : "wrong"), "deep", 256L << 20);
        thread.start();
        thread.join();
    }
}
