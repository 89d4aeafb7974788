package com.example.deep;

class Helper {
    static String word() { return "quirk"; }
}

public class Other {
    static class Inner { }

    public static void main(String... args) {
        System.out.println(Helper.word());
    }
}
