// SPDX-License-Identifier: MIT OR Apache-2.0
// The C++ header against a server that says what it is told to. With -fno-exceptions only the second
// half is there.
#include "unsandbox.hpp"

#include <cstdio>
#include <cstdlib>
#include <future>
#include <thread>
#include <type_traits>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                           \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

using namespace unsandbox;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<Client> && std::is_move_constructible_v<Client>);
static_assert(!std::is_copy_constructible_v<Task> && std::is_nothrow_move_constructible_v<Task>);
static_assert(std::is_copy_constructible_v<Result> && std::is_copy_constructible_v<Error>);
static_assert(std::is_base_of_v<std::exception, Error>);

std::size_t other_translation_unit();

#ifdef UNSANDBOX_EXCEPTIONS
template <class Call>
static Error thrown_by(Call call) {
    try {
        call();
    } catch (const std::exception &error) {
        return dynamic_cast<const Error &>(error);
    }
    CHECK(!"nothing was thrown");
    std::abort();
}

static void with_exceptions(const char *url) {
    Client client(Config()
                      .base_url(url)
                      .retries(0)
                      .proxy("")
                      .resolve_timeout(60s)
                      .send_timeout(60s)
                      .first_byte_timeout(60s)
                      .read_timeout(60s)
                      .job_threshold(120s)
                      .cancel_jobs(false));
    const Result result = client.execute(Request("python", "fine").env("A", "1").ttl(5s));
    CHECK(result && result.out() == "42\n" && result.err().empty());
    CHECK(result.status() == Status::Completed && *result.exit_code() == 0);
    CHECK(result.limit() == Limit::None && !result.signal() && !result.isolation());
    CHECK(*result.total_time() == 12ms && !result.cpu_time());
    CHECK(result.json().find("of_tomorrow") != std::string::npos);
    for (const Artifact &artifact : result.artifacts())
        CHECK(artifact.safe_filename() == "plot.png" && artifact.content().size() == 3);
    // Nobody can make a file there, not even root.
    CHECK(result.try_save_artifacts("/proc").error().code() == UNSANDBOX_ERR_ARGUMENT);
    CHECK(client.execute(Request("python", "bytes")).out() == std::string("\xff\0", 2));
    CHECK(*client.run(Request::detect("#!/usr/bin/env python3\n")).detected_language() == "python");

    const Job job = client.execute_async(Request("python", "fine"));
    CHECK(job.job_id() == "job-1" && job.status() == Status::Pending && !job.result());
    CHECK(client.get_job("job-1").result()->out() == "42\n");
    CHECK(client.wait_job("job-1").success());
    CHECK(client.cancel_job("job-1").status() == Status::Cancelled);
    CHECK(client.list_jobs().size() == 1);
    CHECK(client.languages()[0].aliases[0] == "py");
    CHECK(client.validate_key().valid && client.health().healthy);
    CHECK(client.call_json("health", "").find("ok") != std::string::npos);

    const Error limited = thrown_by([&] { (void)client.execute(Request("python", "status 429")); });
    CHECK(limited.code() == UNSANDBOX_ERR_RATE_LIMITED && limited.name() == "RATE_LIMITED");
    CHECK(limited.http_status() == 429 && *limited.retry_after() == 7s);
    CHECK(thrown_by([&] { (void)client.get_job("none"); }).code() == UNSANDBOX_ERR_NOT_FOUND);
    CHECK(thrown_by([] { Client(Config().base_url("gopher://x")); }).code() == UNSANDBOX_ERR_CONFIG);

    std::promise<void> notified;
    const Task task = client.start(Request("python", "fine"), [&] { notified.set_value(); });
    notified.get_future().wait();
    CHECK(task.is_done() && task.get().out() == "42\n");
    CHECK(thrown_by([&] { (void)task.get(); }).code() == UNSANDBOX_ERR_CONFLICT);
}
#endif

static void without_exceptions(const char *url) {
    auto made = Client::try_create(Config().base_url(url).retries(0));
    CHECK(made);
    Client client = *std::move(made);
    CHECK(client.endpoint() == url && !client.is_local());
    CHECK(!Client::try_create(Config().base_url("gopher://x")));

    const auto request = Request("python", "fine").ttl(5s).args({"a", "b"}).env("A", "1");
    auto result = client.try_execute(request, Options().timeout(60s));
    CHECK(result && result->out() == "42\n");
    auto wrong = client.try_execute(Request("python", "x").limit("colour", 1).ttl(5s));
    CHECK(!wrong && wrong.error().code() == UNSANDBOX_ERR_ARGUMENT);
    CHECK(wrong.error().message().find("colour") != std::string::npos);
    wrong = client.try_execute(Request("pyt\xff", "x"));
    CHECK(!wrong && wrong.error().message().find("UTF-8") != std::string::npos);
    wrong = client.try_execute(Request("python", "x"), Options().timeout(0ms));
    CHECK(!wrong && wrong.error().message().find("timeout_ms") != std::string::npos);

    CancelToken token;
    std::thread canceller([token] { token.cancel(); });
    auto cancelled = client.try_execute(Request("python", "slow"), Options().cancel(token));
    canceller.join();
    CHECK(!cancelled && cancelled.error().code() == UNSANDBOX_ERR_CANCELLED);

    auto task = client.try_start(Request("python", "slow"));
    CHECK(task && task->fd() >= 0 && !task->try_wait_for(1ms));
    task->cancel();
    CHECK(task->try_get().error().code() == UNSANDBOX_ERR_CANCELLED);
    auto waiting = client.try_start_wait_job("job-1");
    CHECK(waiting && waiting->try_get()->out() == "42\n");
    int reads = 0;
    auto fed = client.try_execute(Request("python", "fine"), Options().on_stdin([&](char *to, std::size_t) {
        *to = 'x';
        return std::int64_t(++reads == 1 ? 1 : 0);
    }));
    CHECK(fed && reads == 2);
    int lines = 0;
    CHECK(try_set_log([&](std::int32_t, std::string_view) { lines++; }, UNSANDBOX_LOG_TRACE));
    CHECK(client.try_execute(Request("python", "status 500")).error().code() == UNSANDBOX_ERR_SERVER);
    CHECK(!wrong.error().hint());
    const auto refused = client.try_execute(Request("python", "status 401")).error();
    CHECK(refused.code() == UNSANDBOX_ERR_AUTH && refused.hint());
    CHECK(refused.hint()->find("unsandbox_config_set_api_key") != std::string::npos);
    CHECK(try_set_log(nullptr, UNSANDBOX_LOG_OFF));
    CHECK(!try_set_log(nullptr, 77));
    CHECK(client.try_probe().error().code() == UNSANDBOX_ERR_ARGUMENT);
    CHECK(other_translation_unit() == sizeof(Client));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
#ifdef UNSANDBOX_EXCEPTIONS
    with_exceptions(argv[1]);
#endif
    without_exceptions(argv[1]);
    std::puts("good");
}
