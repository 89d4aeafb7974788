// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs programs from an event loop: each task has a descriptor, which poll() finds readable at its end.
// c++ -std=c++17 events.cpp $(pkg-config --cflags --libs unsandbox) -o events
#include <iostream>
#include <poll.h>
#include <unsandbox.hpp>

int main() try {
    const unsandbox::Client client;
    std::vector<unsandbox::Task> tasks;
    // The descriptors of a program's own sockets and timers would stand beside these.
    std::vector<pollfd> watched;
    for (auto code : {"sleep 0.3; echo one", "sleep 0.2; echo two", "echo three"}) {
        tasks.push_back(client.start(unsandbox::Request("bash", code)));
        watched.push_back({tasks.back().fd(), POLLIN, 0});
    }
    for (auto left = tasks.size(); left > 0;) {
        if (poll(watched.data(), watched.size(), -1) < 0) continue;
        for (std::size_t i = 0; i < tasks.size(); i++) {
            if (!watched[i].revents) continue;
            std::cout << "a program wrote " << tasks[i].get().out();
            watched[i].fd = -1; // poll passes over it
            left--;
        }
    }
    return 0;
} catch (const unsandbox::Error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
