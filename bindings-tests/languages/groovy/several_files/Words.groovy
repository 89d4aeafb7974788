class Words { static String one() { "several" } }
