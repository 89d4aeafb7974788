class Place {
    public static void main(String[] args) {
        String zone = java.time.ZoneId.systemDefault().getId();
        System.out.println(zone.endsWith("UTC") && System.getenv("TERM") != null ? "quirk" : zone);
    }
}
