/* A program of its own. */
int main(void) { return 1; }
