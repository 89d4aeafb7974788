// SPDX-License-Identifier: MIT OR Apache-2.0
// Submits a program as a job, looks at it while it runs, and waits for its end.
// c++ -std=c++17 job.cpp $(pkg-config --cflags --libs unsandbox) -o job
#include <iostream>
#include <unsandbox.hpp>

int main() try {
    using namespace std::chrono_literals;
    unsandbox::Client client;
    auto job = client.execute_async(
        unsandbox::Request("bash", "sleep 0.2; echo finished").ttl(30s));
    auto now = client.get_job(job.job_id());
    std::cout << "the job is " << (now.result() ? "over already" : "under way") << '\n';
    auto result = client.wait_job(job.job_id());
    std::cout << "it is " << result.status_text() << ", exit code "
              << result.exit_code().value_or(-1) << ": " << result.out();
    return 0;
} catch (const unsandbox::Error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
