// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Drives the table of cases through the C++ header: reads cases on standard input, calls what they say,
// and prints what came back. Judging is the runner's; the form of the lines is in table/lines.py.

#include <unsandbox.hpp>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

// Longer output is told by its length and its first bytes.
constexpr std::size_t shown_max = 65536;

std::string decode(std::string_view word) {
    std::size_t count = 1;
    if (word.substr(0, 2) == "%*") {
        const auto colon = word.find(':');
        count = std::stoul(std::string(word.substr(2, colon - 2)));
        word.remove_prefix(colon + 1);
    }
    std::string once;
    for (std::size_t i = 0; i < word.size(); i++) {
        if (word[i] == '%') {
            once += static_cast<char>(std::stoi(std::string(word.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else {
            once += word[i];
        }
    }
    std::string all;
    all.reserve(once.size() * count);
    for (std::size_t i = 0; i < count; i++) all += once;
    return all;
}

Words words_of(std::string_view line) {
    Words words;
    for (;;) {
        const auto space = line.find(' ');
        words.push_back(decode(line.substr(0, space)));
        if (space == std::string_view::npos) return words;
        line.remove_prefix(space + 1);
    }
}

struct Case {
    std::vector<Words> lines;
    std::string settings;

    // The first value of a line.
    std::optional<std::string> said(std::string_view name) const {
        for (const auto &line : lines)
            if (line[0] == name) return line.size() > 1 ? line[1] : std::string();
        return std::nullopt;
    }
    std::chrono::milliseconds milliseconds(std::string_view name) const {
        return std::chrono::milliseconds(std::stol(said(name).value_or("0")));
    }
};

bool read(Case &to) {
    std::string line;
    while (std::getline(std::cin, line)) {
        if (line == "end") return true;
        if (line.rfind("set ", 0) == 0) to.settings += line;
        to.lines.push_back(words_of(line));
    }
    return false;
}

class Report {
public:
    explicit Report(const std::string &name) { words("case", {name}); }

    void words(std::string_view key, std::initializer_list<std::string_view> values) {
        out_ << key;
        for (const auto value : values) {
            out_ << ' ';
            for (const unsigned char byte : value) {
                if (byte > 0x20 && byte < 0x7f && byte != '%') {
                    out_ << byte;
                } else {
                    char code[4];
                    std::snprintf(code, sizeof code, "%%%02X", byte);
                    out_ << code;
                }
            }
        }
        out_ << '\n';
    }

    template <class T>
    void number(std::string_view key, T value) {
        out_ << key << ' ' << static_cast<long long>(value) << '\n';
    }

    void optional(std::string_view key, const std::optional<std::string> &value) {
        if (value) words(key, {*value});
    }

    template <class T>
    void optional_number(std::string_view key, const std::optional<T> &value) {
        if (value) number(key, *value);
    }

    // What happened to the job itself, and the output in one piece.
    void events(unsandbox::Events events) {
        static const char *const names[] = {"other", "queued", "started", "output", "gap", "finished"};
        std::string kinds, streams[2];
        std::optional<unsandbox::Job> last;
        while (const auto event = events.next()) {
            if (event->kind() == unsandbox::EventKind::Output) {
                streams[event->stream() == unsandbox::Stream::Err] += event->data();
                continue;
            }
            kinds += (kinds.empty() ? "" : " ") + std::string(names[static_cast<int>(event->kind())]);
            last = event->job();
        }
        words("event_kinds", {kinds});
        stream("stdout", streams[0]);
        stream("stderr", streams[1]);
        job(last.value());
        optional_number("exit_code", last->result()->exit_code());
    }

    void list(std::string_view key, const std::map<std::string, std::uint64_t> &values) {
        std::string text;
        for (const auto &[name, value] : values)
            text += (text.empty() ? "" : " ") + name + "=" + std::to_string(value);
        words(key, {text});
    }

    void usage(const unsandbox::KeyUsage &usage) {
        const auto &limits = usage.limits;
        optional("usage_key", usage.key);
        number("usage_running", usage.running);
        number("usage_waiting", usage.waiting);
        number("usage_kept_jobs", usage.kept_jobs);
        number("usage_kept_bytes", usage.kept_bytes);
        optional_number("usage_requests_remaining", usage.requests_remaining);
        number("usage_since", usage.since);
        list("usage_runs", usage.runs);
        number("usage_cpu_time_ms", usage.cpu_time_ms);
        number("usage_wall_time_ms", usage.wall_time_ms);
        number("usage_concurrency", limits.concurrency);
        number("usage_reserved", limits.reserved);
        number("usage_queue", limits.queue);
        number("usage_weight", limits.weight);
        optional_number("usage_requests_per_minute", limits.requests_per_minute);
        optional_number("usage_burst", limits.burst);
        number("usage_max_ttl", limits.max_ttl);
        list("usage_max_limits", limits.max_limits);
        words("usage_network_mode", {limits.network_mode});
        if (!limits.languages) return;
        std::string names;
        for (const auto &name : *limits.languages) names += (names.empty() ? "" : " ") + name;
        words("usage_languages", {names});
    }

    void stream(const std::string &key, std::string_view data) {
        words(key, {data.substr(0, shown_max)});
        number(key + "_len", data.size());
    }

    void error(const unsandbox::Error &error) {
        words("error", {error.name()});
        words("message", {error.message()});
        if (error.http_status()) number("http_status", error.http_status());
        if (const auto after = error.retry_after()) number("retry_after_ms", after->count());
        number("may_have_run", error.may_have_run());
        optional("error_job_id", error.job_id());
    }

    void result(const unsandbox::Result &result) {
        static const char *const limits[] = {"", "wall", "cpu", "memory", "processes", "output", "files"};
        number("success", result.success());
        words("status", {result.status_text()});
        stream("stdout", result.out_view());
        stream("stderr", result.err_view());
        optional_number("exit_code", result.exit_code());
        optional_number("signal", result.signal());
        if (result.limit() != unsandbox::Limit::None) words("limit", {limits[static_cast<int>(result.limit())]});
        optional("error_text", result.error());
        optional("language", result.language());
        optional("detected_language", result.detected_language());
        optional("job_id", result.job_id());
        optional("execution_mode", result.execution_mode());
        optional("runtime", result.runtime());
        optional("network_mode", result.network_mode());
        if (const auto time = result.total_time()) number("total_time_ms", time->count());
        if (const auto time = result.cpu_time()) number("cpu_time_ms", time->count());
        optional_number("peak_memory_bytes", result.peak_memory_bytes());
        if (const auto time = result.wall_time()) number("wall_time_ms", time->count());
        if (const auto time = result.compile_cpu_time()) number("compile_cpu_time_ms", time->count());
        optional_number("compile_peak_memory_bytes", result.compile_peak_memory_bytes());
        if (const auto time = result.compile_wall_time()) number("compile_wall_time_ms", time->count());
        number("truncated", result.truncated());
        if (const auto isolation = result.isolation()) words("isolation", {isolation->level});
        for (const auto &artifact : result.artifacts()) {
            const auto content = artifact.content_view();
            words("artifact", {artifact.filename(), artifact.kind(), std::to_string(content.size()), content.substr(0, 4)});
        }
        for (const auto &name : result.left_files()) words("left_file", {name});
    }

    void job(const unsandbox::Job &job) {
        words("job.job_id", {job.job_id()});
        words("job.status", {job.status_text()});
        optional("job.language", job.language());
        optional("job.detected_language", job.detected_language());
        optional("job.network_mode", job.network_mode());
        optional_number("job.created_at", job.created_at());
        optional_number("job.started_at", job.started_at());
        optional_number("job.completed_at", job.completed_at());
    }

    void end(Clock::duration elapsed) {
        number("elapsed_ms", std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count());
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        number("ended_at_ms", std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
        std::cout << out_.str() << "end" << std::endl;
    }

private:
    std::ostringstream out_;
};

unsandbox::Config config_of(const Case &from) {
    unsandbox::Config config;
    std::string public_key;
    for (const auto &line : from.lines) {
        if (line[0] != "set") continue;
        const auto &name = line[1], &value = line[2];
        if (name == "base_url") config.base_url(value);
        else if (name == "api_key") config.api_key(value);
        else if (name == "public_key") public_key = value;
        else if (name == "secret_key") config.key_pair(public_key, value);
        else if (name == "account") config.account(static_cast<std::uint32_t>(std::stoul(value)));
        else if (name == "accounts_file") config.accounts_file(value);
        else if (name == "ca_file") config.ca_file(value);
        else if (name == "allow_plain_http_key") config.allow_plain_http_key();
        else if (name == "timeout_ms") config.timeout(std::chrono::milliseconds(std::stol(value)));
        else if (name == "retries") config.retries(static_cast<std::uint32_t>(std::stoul(value)));
        else if (name == "reply_max_bytes") config.reply_max_bytes(std::stoul(value));
        else if (name == "isolation") config.isolation(value);
        else if (name == "concurrency") config.concurrency(static_cast<std::uint32_t>(std::stoul(value)));
        else if (name == "queue_max") config.queue_max(static_cast<std::uint32_t>(std::stoul(value)));
        else throw std::logic_error("no setting is called " + name);
    }
    return config;
}

unsandbox::Request request_of(const Case &from, bool named) {
    const auto code = from.said("code").value_or("");
    auto request = named ? unsandbox::Request(from.said("language").value_or(""), code)
                         : unsandbox::Request::detect(code);
    for (const auto &line : from.lines) {
        const auto &name = line[0];
        if (name == "env") request.env(line[1], line[2]);
        else if (name == "network_mode") request.network_mode(line[1]);
        else if (name == "ttl") request.ttl(std::chrono::seconds(std::stol(line[1])));
        else if (name == "return_artifact") request.return_artifact();
        else if (name == "return_wasm_artifact") request.return_wasm_artifact();
        else if (name == "file") request.input_file(line[1], line[2]);
        else if (name == "tree_file") request.file(line[1], line[2]);
        else if (name == "flag") request.flag(line[1]);
        else if (name == "output") request.output(line[1]);
        else if (name == "unnamed_file") request.input_file(line[1]);
        else if (name == "stdin") request.stdin_data(line[1]);
        else if (name == "arg") request.arg(line[1]);
        else if (name == "limit") request.limit(line[1], std::stoull(line[2]));
        else if (name == "rerun") request.rerun(line[1]);
        else if (name == "callback_url") request.callback_url(line[1]);
        else if (name == "runtime") request.runtime(line[1]);
    }
    return request;
}

using Clients = std::map<std::string, unsandbox::Client>;

// A client for the case's settings, kept for the next case with the same ones.
unsandbox::Client &client_of(const Case &from, Clients &clients) {
    const auto found = clients.find(from.settings);
    if (found != clients.end() && !from.said("close")) return found->second;
    unsandbox::Client made(config_of(from));
    if (from.said("close")) {
        made.close();
        return clients.insert_or_assign("closed", std::move(made)).first->second;
    }
    return clients.insert_or_assign(from.settings, std::move(made)).first->second;
}

// Submits the case's request as a job, and waits for the state that the case asks for.
std::string submit(const unsandbox::Client &client, const Case &from) {
    const bool named = from.said("submit") == "execute_async";
    const auto request = request_of(from, named);
    const auto job = named ? client.execute_async(request) : client.run_async(request);
    const auto until = from.said("until");
    while (until == "running" && client.get_job(job.job_id()).status() == unsandbox::Status::Pending)
        std::this_thread::sleep_for(10ms);
    if (until == "ended") client.wait_job(job.job_id());
    std::this_thread::sleep_for(from.milliseconds("settle_ms"));
    return job.job_id();
}

void operate(const unsandbox::Client &client, const Case &from, const std::string &id,
             const unsandbox::Options &options, Report &report) {
    const auto operation = *from.said("do");
    if (operation == "execute") {
        report.result(client.execute(request_of(from, true), options));
    } else if (operation == "run") {
        report.result(client.run(request_of(from, false), options));
    } else if (operation == "execute_async" || operation == "run_async") {
        const bool named = operation == "execute_async";
        const auto request = request_of(from, named);
        const auto job = named ? client.execute_async(request, options) : client.run_async(request, options);
        report.job(job);
        report.result(client.wait_job(job.job_id()));
    } else if (operation == "get_job") {
        const auto job = client.get_job(id, options);
        report.job(job);
        if (const auto result = job.result()) report.result(*result);
    } else if (operation == "wait_job") {
        report.result(client.wait_job(id, options));
    } else if (operation == "cancel_job") {
        report.result(client.cancel_job(id, options));
    } else if (operation == "delete_job") {
        client.delete_job(id, options);
        const auto now = client.try_get_job(id);
        report.number("found", now || now.error().code() != UNSANDBOX_ERR_NOT_FOUND);
    } else if (operation == "job_events") {
        const auto place = from.said("from").value_or("0-0");
        const auto dash = place.find('-');
        report.events(client.job_events(id, {std::stoull(place), std::stoull(place.substr(dash + 1))}, options));
    } else if (operation == "list_jobs") {
        const auto limit = std::stoul(from.said("page_limit").value_or("0"));
        auto after = from.said("page_after").value_or("");
        if (after == "submitted") after = id;
        const auto jobs = limit || !after.empty()
                              ? client.list_jobs_page(static_cast<std::uint32_t>(limit), after, options).jobs
                              : client.list_jobs(options);
        report.number("count", jobs.size());
        for (const auto &job : jobs) {
            if (!id.empty() && job.job_id() != id) continue;
            report.job(job);
            break;
        }
    } else if (operation == "languages") {
        const auto languages = client.languages(options);
        report.number("count", languages.size());
        for (const auto &it : languages)
            report.words("offers", {it.name, !it.available ? "-" : *it.available ? "1" : "0"});
    } else if (operation == "validate_key") {
        const auto key = client.validate_key(options);
        report.number("valid", key.valid);
        report.optional("tier", key.tier);
        report.optional("reason", key.reason);
    } else if (operation == "usage") {
        report.usage(client.usage(options));
    } else if (operation == "health") {
        const auto health = client.health(options);
        report.number("healthy", health.healthy);
        report.words("health", {health.status});
    } else {
        throw std::logic_error("no operation is called " + operation);
    }
}

void play(const Case &from, Clients &clients, Report &report) {
    const auto &client = client_of(from, clients);
    const bool submitted = from.said("submit").has_value();
    const auto id = submitted ? submit(client, from) : from.said("job_id").value_or("");
    unsandbox::Options options;
    unsandbox::CancelToken token;
    std::thread canceller;
    if (from.said("timeout_ms")) options.timeout(from.milliseconds("timeout_ms"));
    if (from.said("cancel_after_ms")) {
        options.cancel(token);
        canceller = std::thread([&] {
            std::this_thread::sleep_for(from.milliseconds("cancel_after_ms"));
            token.cancel();
        });
    }
    try {
        operate(client, from, id, options, report);
    } catch (const unsandbox::Error &error) {
        report.error(error);
    }
    const auto operation = from.said("do");
    // One that was deleted is not found.
    if (submitted && operation != "wait_job" && operation != "cancel_job") (void)client.try_cancel_job(id);
    if (canceller.joinable()) canceller.join();
}

} // namespace

int main() {
    Clients clients;
    for (Case from; read(from); from = {}) {
        Report report(*from.said("case"));
        const auto begun = Clock::now();
        try {
            play(from, clients, report);
        } catch (const unsandbox::Error &error) {
            report.error(error);
        }
        report.end(Clock::now() - begun);
    }
}
