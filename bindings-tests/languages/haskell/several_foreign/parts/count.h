#define MORE 3
int count(int x);
