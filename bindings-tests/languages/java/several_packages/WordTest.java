import org.junit.Test;

public class WordTest { @Test public void test() { } }
