#include <iostream>
#include "util.hpp"
void say() { std::cout << "several\n"; }
