package words;

public interface Word { String text(); }
