#include <iostream>
#include <ranges>
#include <vector>

int main() {
    std::vector<char> letters{'k', 'r', 'i', 'u', 'q'};
    for (char letter : letters | std::views::reverse) std::cout << letter;
    std::cout << "\n";
}
