import util;
void main() { say(); }
