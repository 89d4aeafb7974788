// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs a program, and tells what runs now, what may run at once, and what has ended.
// c++ -std=c++17 usage.cpp $(pkg-config --cflags --libs unsandbox) -o usage
#include <iostream>
#include <unsandbox.hpp>

int main() try {
    unsandbox::Client client;
    (void)client.execute(unsandbox::Request("bash", "echo done"));
    const auto usage = client.usage();
    std::cout << usage.running << " of " << usage.limits.concurrency << " run\n";
    for (const auto &[status, count] : usage.runs) std::cout << count << ' ' << status << '\n';
    return 0;
} catch (const unsandbox::Error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
