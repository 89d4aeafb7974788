int say(void);
int main(void) { return say(); }
