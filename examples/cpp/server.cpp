// SPDX-License-Identifier: MIT OR Apache-2.0
// A server that runs a program of each caller: one client for its whole life, and limits on each program.
// It ends when its standard input does.
// c++ -std=c++17 server.cpp $(pkg-config --cflags --libs unsandbox) -lpthread -o server
#include <arpa/inet.h>
#include <iostream>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <unsandbox.hpp>

constexpr std::size_t code_max = 65536;

static void send_all(int connection, std::string_view data) {
    while (!data.empty()) {
        const auto sent = send(connection, data.data(), data.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        data.remove_prefix(static_cast<std::size_t>(sent));
    }
}

static std::string receive_all(int connection) {
    std::string data;
    char piece[4096];
    for (ssize_t got; data.size() < code_max && (got = recv(connection, piece, sizeof piece, 0)) > 0;)
        data.append(piece, static_cast<std::size_t>(got));
    return data;
}

// What comes until the caller closes its side is a program; what the program writes goes back.
static void answer(const unsandbox::Client &client, int connection) {
    using namespace std::chrono_literals;
    const auto request = unsandbox::Request("python", receive_all(connection))
                             .ttl(5s)
                             .limit("memory_bytes", 256 << 20);
    const auto result = client.try_execute(request);
    send_all(connection, result ? result->out() + result->err() : result.error().message());
}

static int listen_on_loopback() {
    sockaddr_in address{};
    socklen_t len = sizeof address;
    auto *const plain = reinterpret_cast<sockaddr *>(&address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, plain, len) != 0 || listen(listener, 16) != 0
        || getsockname(listener, plain, &len) != 0)
        throw std::system_error(errno, std::generic_category(), "no server");
    std::cout << "listening on port " << ntohs(address.sin_port) << std::endl;
    return listener;
}

int main() try {
    const unsandbox::Client client;
    const int listener = listen_on_loopback();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&] {
            for (int connection; (connection = accept(listener, nullptr, nullptr)) >= 0;) {
                answer(client, connection);
                close(connection);
            }
        });

    while (std::cin.get() != EOF) {
    }
    shutdown(listener, SHUT_RDWR); // no more callers: accept() fails
    client.close();                // and no more programs: those that run are ended
    for (auto &thread : threads) thread.join();
    close(listener);
    return 0;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
