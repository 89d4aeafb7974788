public class Helper { public String toString() { return "several"; } }
