#include <iostream>

int main() {
    std::cout << "started" << std::endl;
    volatile bool going = true;
    while (going) {
    }
}
