// SPDX-License-Identifier: MIT OR Apache-2.0
// Submits a program as a job, tells how it is while it runs, and takes its result at the end.
// c++ -std=c++17 job.cpp $(pkg-config --cflags --libs unsandbox) -o job
#include <iostream>
#include <unsandbox.hpp>

int main() try {
    using namespace std::chrono_literals;
    unsandbox::Client client;
    const auto job = client.execute_async(unsandbox::Request("bash", "sleep 1; echo finished").ttl(30s));

    auto end = client.start_wait_job(job.job_id());
    std::optional<unsandbox::Result> result;
    while (!(result = end.wait_for(200ms)))
        std::cout << "it is " << client.get_job(job.job_id()).status_text() << '\n';
    std::cout << "it ended with " << result->exit_code().value_or(-1) << ": " << result->out();
    return 0;
} catch (const unsandbox::Error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
