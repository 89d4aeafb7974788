// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs many programs at once: a few threads share one client, and each takes the next program.
// c++ -std=c++17 pool.cpp $(pkg-config --cflags --libs unsandbox) -lpthread -o pool
#include <array>
#include <atomic>
#include <iostream>
#include <thread>
#include <unsandbox.hpp>

constexpr int programs = 12, threads = 4;

static std::string square(const unsandbox::Client &client, int number) {
    const auto n = std::to_string(number);
    const auto result = client.try_execute(unsandbox::Request("bash", "echo $((" + n + " * " + n + "))"));
    // An exception would end the whole process from here.
    return result ? result->out() : result.error().message() + '\n';
}

int main() try {
    const unsandbox::Client client;
    std::atomic<int> next = 0;
    std::array<std::string, programs> squares;
    std::vector<std::thread> pool;
    for (int i = 0; i < threads; i++)
        pool.emplace_back([&] {
            for (int mine; (mine = next++) < programs;) squares[mine] = square(client, mine);
        });
    for (auto &thread : pool) thread.join();
    for (int i = 0; i < programs; i++) std::cout << i << " squared is " << squares[i];
    return 0;
} catch (const unsandbox::Error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
