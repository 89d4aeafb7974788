#include <cctype>
#include <iostream>

int main() {
    char c;
    while (std::cin.get(c)) std::cout << static_cast<char>(std::toupper(c));
}
