#include "util.hpp"
int main() { say(); }
