// SPDX-License-Identifier: MIT OR Apache-2.0
// The C++ header against a server that says what it is told to. With -fno-exceptions only the second
// half is there.
#include "unsandbox.hpp"

#include <cstdio>
#include <cstdlib>
#include <future>
#include <stdexcept>
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
    Events events = client.job_events("job-1", {1, 0});
    CHECK(events.next()->kind() == EventKind::Queued);
    const auto output = events.next();
    CHECK(output->kind() == EventKind::Output && output->stream() == Stream::Out);
    CHECK(output->data() == "2\n" && output->offset() == 1 && output->missing_bytes() == 0);
    CHECK(output->offsets().out == 3 && output->offsets().err == 0 && !output->job());
    const auto finished = events.next()->job();
    CHECK(!events.next() && finished->result()->out() == "42\n");
    CHECK(client.cancel_job("job-1").status() == Status::Cancelled);
    client.delete_job("job-1");
    CHECK(client.try_delete_job("").error().code() == UNSANDBOX_ERR_ARGUMENT);
    const JobPage page = client.list_jobs_page(1);
    CHECK(client.list_jobs().size() == 1 && page.jobs.size() == 1 && !page.has_more);
    CHECK(client.list_jobs_page(0, "job-1").jobs.empty());
    CHECK(client.try_list_jobs_page(1, "none").error().code() == UNSANDBOX_ERR_ARGUMENT);
    CHECK(client.languages()[0].aliases[0] == "py");
    CHECK(client.validate_key().valid && client.health().healthy);
    const KeyUsage usage = client.usage();
    CHECK(usage.key == "1a2b3c4d" && usage.runs.at("completed") == 5 && usage.requests_remaining == 4u);
    CHECK(usage.limits.max_limits.at("processes") == 16 && usage.limits.languages->at(0) == "bash");
    CHECK(usage.json->find("of_tomorrow") != std::string::npos);
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

struct Refusal : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The number that the call threw, or the text of its Refusal as a number.
template <class Call>
static int number_thrown_by(Call call) {
    try {
        call();
    } catch (int number) {
        return number;
    } catch (const Refusal &refusal) {
        return std::atoi(refusal.what());
    }
    CHECK(!"nothing was thrown");
    std::abort();
}

/// What callbacks throw is thrown by the call that they belong to, as it was.
static void thrown_in_callbacks(const char *url) {
    Client client(Config().base_url(url).retries(0));
    const Request fine("python", "fine");
    const auto refusing = [](auto &&...) { throw Refusal("41"); };
    Options output;
    output.on_output(refusing);
    for (int turn = 0; turn < 2; turn++)
        CHECK(number_thrown_by([&] { (void)client.execute(fine, output); }) == 41);
    CHECK(number_thrown_by([&] { (void)client.run(Request::detect("#!/usr/bin/env python3\n"), output); }) == 41);
    CHECK(number_thrown_by([&] {
              (void)client.execute(fine, Options().on_stdin([](char *, std::size_t) -> std::int64_t { throw 42; }));
          }) == 42);
    CHECK(number_thrown_by([&] { client.start(fine, nullptr, output).get(); }) == 41);
    CHECK(number_thrown_by([&] { client.start(fine, nullptr, output).wait_for(60s); }) == 41);
    std::promise<void> notified;
    const Task task = client.start(fine, [&] {
        notified.set_value();
        throw 43;
    });
    notified.get_future().wait();
    while (task.fd() < 0) std::this_thread::yield();
    // It may be taken before the callback has thrown.
    try {
        CHECK(task.get().out() == "42\n");
    } catch (int number) {
        CHECK(number == 43);
    }

    // Without a throw, as a value that has it; the token of the caller is cancelled, and its next call is refused.
    const CancelToken token;
    Options chosen;
    chosen.cancel(token).on_output(refusing);
    const auto end = client.try_execute(fine, chosen);
    CHECK(!end && end.error().code() == UNSANDBOX_ERR_CANCELLED && end.error().name() == "CANCELLED");
    CHECK(end.error().thrown() && !end.error().c_handle() && !end.error().body() && !end.error().retry_after());
    CHECK(number_thrown_by([&] { end.error().raise(); }) == 41);
    CHECK(token.is_cancelled());
    CHECK(thrown_by([&] { (void)client.execute(fine, chosen); }).code() == UNSANDBOX_ERR_CANCELLED);
    // A log that throws harms nothing.
    CHECK(try_set_log([](std::int32_t, std::string_view) { throw 44; }, UNSANDBOX_LOG_TRACE));
    CHECK(client.execute(fine));
    CHECK(try_set_log(nullptr, UNSANDBOX_LOG_OFF));
}

/// A callback that throws stops the program on this machine.
static void thrown_on_this_machine() {
    Client client(Config().base_url("local:"));
    int pieces = 0;
    const auto begun = std::chrono::steady_clock::now();
    const auto refusing = [&](Stream, std::string_view) {
        pieces++;
        throw 45;
    };
    const Request endless("bash", "echo one; while true; do echo more; done");
    CHECK(number_thrown_by([&] { (void)client.execute(endless, Options().on_output(refusing)); }) == 45);
    CHECK(pieces == 1);
    CHECK(number_thrown_by([&] { client.start(endless, nullptr, Options().on_output(refusing)).get(); }) == 45);
    CHECK(pieces == 2 && std::chrono::steady_clock::now() - begun < 30s);
    const Result result = client.execute(Request("bash", "true"));
    CHECK(result && result.runtime()->find("bash") != std::string::npos);
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
    for (auto ttl : {-0.5, 0.0, 900.1, HUGE_VAL, std::nan("")}) {
        auto refused = client.try_execute(Request("python", "x").ttl(std::chrono::duration<double>(ttl)));
        CHECK(!refused && refused.error().message().find("ttl must be") != std::string::npos);
    }
    CHECK(client.try_execute(Request("python", "fine").ttl(1500ms)));
    CHECK(client.try_execute(Request("python", "fine").ttl(std::chrono::duration<float>(899.5f))));
    CHECK(client.try_execute(Request("python", "fine").ttl(1min)));
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
    auto events = client.try_job_events("job-1");
    CHECK(events && (*events->try_next())->kind() == EventKind::Queued);
    while (true) {
        auto next = events->try_next_for(10s);
        CHECK(next && *next);
        if (!**next) break;
    }
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
    CHECK(refused.hint()->find("Config::api_key") != std::string::npos);
    CHECK(refused.hint()->find("unsandbox_") == std::string::npos);
    const auto far = Client::try_create(Config().base_url("http://127.0.0.1:1").retries(0).proxy(""));
    const auto lost = far->try_health().error();
    CHECK(lost.message().size() > lost.cause()->size() && lost.message().find(*lost.cause()) != std::string::npos);
    CHECK(lost.hint()->find("Config::base_url") != std::string::npos);
    CHECK(try_set_log(nullptr, UNSANDBOX_LOG_OFF));
    CHECK(!try_set_log(nullptr, 77));
    CHECK(client.try_probe().error().code() == UNSANDBOX_ERR_ARGUMENT);
    CHECK(other_translation_unit() == sizeof(Client));
}

int main(int argc, char **argv) {
    CHECK(argc >= 2);
#ifdef UNSANDBOX_EXCEPTIONS
    if (argc == 3) {
        thrown_on_this_machine();
        std::puts("good");
        return 0;
    }
    with_exceptions(argv[1]);
    thrown_in_callbacks(argv[1]);
#endif
    without_exceptions(argv[1]);
    std::puts("good");
}
