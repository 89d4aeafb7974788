// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs one program and prints what it wrote.
// c++ -std=c++17 hello.cpp $(pkg-config --cflags --libs unsandbox) -o hello
#include <iostream>
#include <unsandbox.hpp>

int main() try {
    unsandbox::Client client;
    auto result = client.execute(unsandbox::Request("python", "print(6 * 7)"));
    std::cout << result.out();
    return result.exit_code().value_or(1);
} catch (const unsandbox::Error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
