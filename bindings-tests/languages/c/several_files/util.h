int say(const char *text);
