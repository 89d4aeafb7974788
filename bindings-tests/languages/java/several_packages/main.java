package words.app;

import java.util.ServiceLoader;
import words.*;

public class App {
    public static void main(final String... args) {
        for (Word word : ServiceLoader.load(Word.class)) System.out.println(word.text());
    }
}
