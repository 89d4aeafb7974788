// SPDX-License-Identifier: MIT OR Apache-2.0
//
// libunsandbox for C++17, header only, over unsandbox.h.
//
//     unsandbox::Client client;                       // configured by the environment
//     auto result = client.execute(unsandbox::Request("python", "print(6 * 7)"));
//     std::cout << result.out();                      // 42
//
// Functions throw unsandbox::Error; each has a noexcept twin, try_…, that gives an Expected<T>. With
// -fno-exceptions only the twins are there. A program that fails is a Result, never an error. Setters of
// Request, Config and Options never fail: what was wrong is told by the call that uses them. Client,
// CancelToken and Task may be used by many threads; Result, Job and Artifact are values, cheap to copy. What a
// callback throws ends its call, which throws it on; a function try_… gives it as an Error that has it.

#ifndef LIBUNSANDBOX_HPP
#define LIBUNSANDBOX_HPP

#include "unsandbox.h"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// Begins a setter of a Request, Config or Options, whose body follows. It gives the object itself back: a named one by
/// reference, a temporary one as a temporary.
#define UNSANDBOX_SETTER(Self, name, parameters, arguments)                                        \
    Self &&name parameters && { return std::move(name arguments); }                                \
    Self &name parameters &

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define UNSANDBOX_EXCEPTIONS 1
#endif

namespace unsandbox {

/// State of a job, and of the result of a finished one.
enum class Status : std::int32_t {
    Other = UNSANDBOX_STATUS_OTHER,
    Pending = UNSANDBOX_STATUS_PENDING,
    Running = UNSANDBOX_STATUS_RUNNING,
    Completed = UNSANDBOX_STATUS_COMPLETED,
    Timeout = UNSANDBOX_STATUS_TIMEOUT,
    Cancelled = UNSANDBOX_STATUS_CANCELLED,
    Failed = UNSANDBOX_STATUS_FAILED,
};

/// The limit that ended a program.
enum class Limit : std::int32_t {
    None = UNSANDBOX_LIMIT_NONE,
    Wall = UNSANDBOX_LIMIT_WALL,
    Cpu = UNSANDBOX_LIMIT_CPU,
    Memory = UNSANDBOX_LIMIT_MEMORY,
    Processes = UNSANDBOX_LIMIT_PROCESSES,
    Output = UNSANDBOX_LIMIT_OUTPUT,
    Files = UNSANDBOX_LIMIT_FILES,
};

/// Which stream a piece of output belongs to.
enum class Stream : std::int32_t {
    Out = UNSANDBOX_STREAM_STDOUT,
    Err = UNSANDBOX_STREAM_STDERR,
};

/// What happened to a job.
enum class EventKind : std::int32_t {
    Other = UNSANDBOX_EVENT_OTHER,
    Queued = UNSANDBOX_EVENT_QUEUED,
    Started = UNSANDBOX_EVENT_STARTED,
    Output = UNSANDBOX_EVENT_OUTPUT,
    Gap = UNSANDBOX_EVENT_GAP,
    Finished = UNSANDBOX_EVENT_FINISHED,
};

/// A place in the output of a job: the bytes of both streams before it.
struct Offsets {
    std::uint64_t out = 0;
    std::uint64_t err = 0;
};

/// The version of the loaded library.
inline std::string version() { return unsandbox_version(); }

namespace detail {

template <class T, void (*Free)(T *)>
struct Deleter {
    void operator()(T *handle) const noexcept { Free(handle); }
};

template <class T, void (*Free)(T *)>
using Handle = std::unique_ptr<T, Deleter<T, Free>>;

inline std::string text(const char *data, std::size_t len) {
    return data ? std::string(data, len) : std::string();
}

inline std::optional<std::string> optional_text(const char *data, std::size_t len) {
    return data ? std::optional<std::string>(std::in_place, data, len) : std::nullopt;
}

/// Calls a getter of the form (handle, size_t *len).
template <class Get, class... Args>
std::optional<std::string> get(Get getter, Args... args) {
    std::size_t len = 0;
    const char *data = getter(args..., &len);
    return optional_text(data, len);
}

/// Advice with the names of this header: "unsandbox_config_set_ca_file" is Config::ca_file.
inline std::string in_cpp(std::string text) {
    const std::pair<std::string_view, std::string_view> names[] = {
        {"unsandbox_config_set_", "Config::"}, {"unsandbox_config_", "Config::"},
        {"unsandbox_request_set_", "Request::"}, {"unsandbox_request_", "Request::"},
        {"unsandbox_options_set_", "Options::"}, {"unsandbox_client_", "Client::"}};
    for (const auto &[c, cpp] : names)
        for (std::size_t at; (at = text.find(c)) != std::string::npos;) text.replace(at, c.size(), cpp);
    return text;
}

inline const std::uint8_t *bytes(std::string_view data) {
    return reinterpret_cast<const std::uint8_t *>(data.data());
}

} // namespace detail

/// Why an operation gave no result. A value, cheap to copy.
class Error : public std::exception {
public:
    /// Takes over an error of the C API.
    explicit Error(unsandbox_error *error) : error_(error, unsandbox_error_free) {}
    /// A call that was ended because one of its callbacks threw this.
    explicit Error(std::exception_ptr thrown) noexcept : thrown_(std::move(thrown)) {}

    /// UNSANDBOX_ERR_…; UNSANDBOX_ERR_CANCELLED where a callback threw.
    std::int32_t code() const noexcept {
        return thrown_ ? UNSANDBOX_ERR_CANCELLED : unsandbox_error_code(error_.get());
    }
    /// The code as a word, such as "RATE_LIMITED".
    std::string name() const {
        return thrown_ ? unsandbox_code_name(code()) : unsandbox_error_name(error_.get(), nullptr);
    }
    /// One sentence, with what lay underneath.
    const char *what() const noexcept override {
        if (thrown_) return "a callback threw an exception, which ended the call";
        return unsandbox_error_message(error_.get(), nullptr);
    }
    std::string message() const { return what(); }
    /// What a callback threw, to be thrown on; empty for other errors.
    const std::exception_ptr &thrown() const noexcept { return thrown_; }
    /// The HTTP status of the reply, or 0.
    int http_status() const noexcept { return unsandbox_error_http_status(error_.get()); }
    /// The server's own words.
    std::optional<std::string> body() const { return detail::get(unsandbox_error_body, error_.get()); }
    std::optional<std::chrono::milliseconds> retry_after() const {
        const auto ms = unsandbox_error_retry_after_ms(error_.get());
        return ms < 0 ? std::nullopt : std::optional(std::chrono::milliseconds(ms));
    }
    /// Whether the program may have run although no result came back.
    bool may_have_run() const noexcept { return unsandbox_error_may_have_run(error_.get()) != 0; }
    std::optional<std::string> cause() const {
        return detail::get(unsandbox_error_cause, error_.get());
    }
    std::optional<std::string> job_id() const {
        return detail::get(unsandbox_error_job_id, error_.get());
    }
    /// What to do about it, where the message does not say.
    std::optional<std::string> hint() const {
        auto text = detail::get(unsandbox_error_hint, error_.get());
        if (text) *text = detail::in_cpp(std::move(*text));
        return text;
    }
    /// NULL where a callback threw.
    const unsandbox_error *c_handle() const noexcept { return error_.get(); }

#ifdef UNSANDBOX_EXCEPTIONS
    /// Throws what a callback threw, or this error.
    [[noreturn]] void raise() const {
        if (thrown_) std::rethrow_exception(thrown_);
        throw *this;
    }
#endif

private:
    std::shared_ptr<unsandbox_error> error_;
    std::exception_ptr thrown_;
};

/// A value, or the Error that stands in its place.
template <class T>
class [[nodiscard]] Expected {
public:
    Expected(T value) : either_(std::in_place_index<0>, std::move(value)) {}
    Expected(Error error) : either_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return either_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }
    /// The value; only where there is one.
    T &operator*() & noexcept { return *std::get_if<0>(&either_); }
    const T &operator*() const & noexcept { return *std::get_if<0>(&either_); }
    T &&operator*() && noexcept { return std::move(*std::get_if<0>(&either_)); }
    T *operator->() noexcept { return std::get_if<0>(&either_); }
    const T *operator->() const noexcept { return std::get_if<0>(&either_); }
    /// The error; only where there is no value.
    const Error &error() const noexcept { return *std::get_if<1>(&either_); }

#ifdef UNSANDBOX_EXCEPTIONS
    /// The value; throws the error where there is none, or what a callback threw.
    T value() && {
        if (!has_value()) error().raise();
        return std::move(**this);
    }
    const T &value() const & {
        if (!has_value()) error().raise();
        return **this;
    }
#endif

private:
    std::variant<T, Error> either_;
};

/// What is left of a value where nothing has to be given.
struct Done {};

/// A file that a run gave back.
class Artifact {
public:
    Artifact(std::shared_ptr<const unsandbox_result> owner, const unsandbox_artifact *artifact)
        : owner_(std::move(owner)), artifact_(artifact) {}

    /// As the program or the server named it; it may hold "/" or "..".
    std::string filename() const {
        return detail::text(artifact_->filename, artifact_->filename_len);
    }
    /// The name reduced to one safe component.
    std::string safe_filename() const {
        return detail::text(artifact_->safe_filename, artifact_->safe_filename_len);
    }
    std::string kind() const { return detail::text(artifact_->kind, artifact_->kind_len); }
    std::string content() const { return std::string(content_view()); }
    /// Borrowed until the last copy of the result and its artifacts is gone.
    std::string_view content_view() const noexcept {
        return {reinterpret_cast<const char *>(artifact_->content), artifact_->content_len};
    }
    std::optional<std::string> url() const {
        return detail::optional_text(artifact_->url, artifact_->url_len);
    }
    /// Writes it into a directory, which is made if missing, in the folders of its name; no two artifacts of
    /// a result take one place.
    Expected<Done> try_save(std::string_view directory) const {
        unsandbox_error *err = nullptr;
        const auto code =
            unsandbox_artifact_save(artifact_, directory.data(), directory.size(), &err);
        if (code != UNSANDBOX_OK) return Error(err);
        return Done();
    }
#ifdef UNSANDBOX_EXCEPTIONS
    /// As try_save; throws Error.
    void save(std::string_view directory) const { try_save(directory).value(); }
#endif
    const unsandbox_artifact *c_handle() const noexcept { return artifact_; }

private:
    std::shared_ptr<const unsandbox_result> owner_;
    const unsandbox_artifact *artifact_;
};

/// What the jail of a run was made of.
struct Isolation {
    std::string level;
    std::vector<std::string> layers;
    std::vector<std::string> missing;
};

/// What one execution gave. A program that fails is a result with success() false. One that was moved from is only to
/// be assigned or destroyed.
class Result {
public:
    /// Takes over a result of the C API.
    explicit Result(unsandbox_result *result)
        : Result(std::shared_ptr<const unsandbox_result>(
              result, [](const unsandbox_result *it) {
                  unsandbox_result_free(const_cast<unsandbox_result *>(it));
              })) {}
    /// A result that something else owns and frees.
    explicit Result(std::shared_ptr<const unsandbox_result> result) : result_(std::move(result)) {}

    bool success() const noexcept { return result_->success != 0; }
    explicit operator bool() const noexcept { return success(); }
    Status status() const noexcept { return static_cast<Status>(result_->status); }
    std::string status_text() const {
        return detail::text(result_->status_text, result_->status_text_len);
    }
    /// What the program wrote to standard output: any bytes.
    std::string out() const { return std::string(out_view()); }
    /// What the program wrote to standard error: any bytes.
    std::string err() const { return std::string(err_view()); }
    /// Borrowed until the last copy of the result is gone.
    std::string_view out_view() const noexcept { return {result_->stdout_data, result_->stdout_len}; }
    /// Borrowed until the last copy of the result is gone.
    std::string_view err_view() const noexcept { return {result_->stderr_data, result_->stderr_len}; }
    /// Nothing where a server did not say; 124 past the ttl, 128 + n for signal n.
    std::optional<int> exit_code() const {
        return result_->has_exit_code ? std::optional<int>(result_->exit_code) : std::nullopt;
    }
    std::optional<int> signal() const {
        return result_->has_signal ? std::optional<int>(result_->signal) : std::nullopt;
    }
    Limit limit() const noexcept { return static_cast<Limit>(result_->limit); }
    bool truncated() const noexcept { return result_->truncated != 0; }
    std::optional<std::string> error() const {
        return detail::optional_text(result_->error, result_->error_len);
    }
    std::optional<std::string> language() const {
        return detail::optional_text(result_->language, result_->language_len);
    }
    std::optional<std::string> detected_language() const {
        return detail::optional_text(result_->detected_language, result_->detected_language_len);
    }
    std::optional<std::string> job_id() const {
        return detail::optional_text(result_->job_id, result_->job_id_len);
    }
    std::optional<std::string> execution_mode() const {
        return detail::optional_text(result_->execution_mode, result_->execution_mode_len);
    }
    std::optional<std::string> network_mode() const {
        return detail::optional_text(result_->network_mode, result_->network_mode_len);
    }
    /// Path of the interpreter or compiler that was chosen.
    std::optional<std::string> runtime() const {
        return detail::get(unsandbox_result_runtime, result_.get());
    }
    std::optional<std::chrono::milliseconds> total_time() const {
        if (!result_->has_total_time_ms) return std::nullopt;
        return std::chrono::milliseconds(result_->total_time_ms);
    }
    std::optional<std::chrono::milliseconds> cpu_time() const {
        if (!result_->has_usage) return std::nullopt;
        return std::chrono::milliseconds(result_->cpu_time_ms);
    }
    std::optional<std::uint64_t> peak_memory_bytes() const {
        if (!result_->has_usage) return std::nullopt;
        return result_->peak_memory_bytes;
    }
    std::optional<std::chrono::milliseconds> wall_time() const {
        if (!result_->has_usage) return std::nullopt;
        return std::chrono::milliseconds(unsandbox_result_wall_time_ms(result_.get()));
    }
    /// The compiler's; the three above are the program's.
    std::optional<std::chrono::milliseconds> compile_cpu_time() const {
        if (!unsandbox_result_has_compile(result_.get())) return std::nullopt;
        return std::chrono::milliseconds(unsandbox_result_compile_cpu_time_ms(result_.get()));
    }
    std::optional<std::uint64_t> compile_peak_memory_bytes() const {
        if (!unsandbox_result_has_compile(result_.get())) return std::nullopt;
        return unsandbox_result_compile_peak_memory_bytes(result_.get());
    }
    std::optional<std::chrono::milliseconds> compile_wall_time() const {
        if (!unsandbox_result_has_compile(result_.get())) return std::nullopt;
        return std::chrono::milliseconds(unsandbox_result_compile_wall_time_ms(result_.get()));
    }
    std::vector<Artifact> artifacts() const {
        std::vector<Artifact> all;
        for (std::size_t i = 0; i < result_->artifact_count; i++)
            all.emplace_back(result_, result_->artifacts[i]);
        return all;
    }
    /// Paths in the working directory of files that the program made or changed and nothing asked for; at most 100.
    std::vector<std::string> left_files() const {
        std::vector<std::string> names(unsandbox_result_left_file_count(result_.get()));
        for (std::size_t i = 0; i < names.size(); i++) {
            std::size_t len = 0;
            const char *name = unsandbox_result_left_file(result_.get(), i, &len);
            names[i] = detail::text(name, len);
        }
        return names;
    }
    /// Writes all artifacts into a directory, which is made if missing, in the folders of their names; of two
    /// with one name the second gets a number, ".git" is saved as "_git", and plain files that are there are
    /// replaced: give one for artifacts alone. The error names each that is not saved; all others are.
    Expected<Done> try_save_artifacts(std::string_view directory) const {
        unsandbox_error *err = nullptr;
        const auto code = unsandbox_result_save_artifacts(result_.get(), directory.data(),
                                                          directory.size(), &err);
        if (code != UNSANDBOX_OK) return Error(err);
        return Done();
    }
#ifdef UNSANDBOX_EXCEPTIONS
    /// As try_save_artifacts; throws Error.
    void save_artifacts(std::string_view directory) const { try_save_artifacts(directory).value(); }
#endif
    std::optional<Isolation> isolation() const {
        if (!result_->isolation_level) return std::nullopt;
        Isolation made{detail::text(result_->isolation_level, result_->isolation_level_len), {}, {}};
        for (std::size_t i = 0; i < result_->isolation_layer_count; i++)
            made.layers.emplace_back(result_->isolation_layers[i]);
        for (std::size_t i = 0; i < result_->isolation_missing_count; i++)
            made.missing.emplace_back(result_->isolation_missing[i]);
        return made;
    }
    /// The whole result as JSON.
    std::string json() const { return *detail::get(unsandbox_result_json, result_.get()); }
    const unsandbox_result *c_handle() const noexcept { return result_.get(); }

private:
    std::shared_ptr<const unsandbox_result> result_;
};

/// An execution that was submitted, as it was when asked about.
class Job {
public:
    /// Takes over a job of the C API.
    explicit Job(unsandbox_job *job)
        : Job(std::shared_ptr<const unsandbox_job>(job, [](const unsandbox_job *it) {
              unsandbox_job_free(const_cast<unsandbox_job *>(it));
          })) {}
    /// A job that something else owns and frees.
    explicit Job(std::shared_ptr<const unsandbox_job> job) : job_(std::move(job)) {}

    std::string job_id() const { return detail::text(job_->job_id, job_->job_id_len); }
    Status status() const noexcept { return static_cast<Status>(job_->status); }
    std::string status_text() const {
        return detail::text(job_->status_text, job_->status_text_len);
    }
    std::optional<std::string> language() const {
        return detail::optional_text(job_->language, job_->language_len);
    }
    std::optional<std::string> detected_language() const {
        return detail::optional_text(job_->detected_language, job_->detected_language_len);
    }
    std::optional<std::string> network_mode() const {
        return detail::optional_text(job_->network_mode, job_->network_mode_len);
    }
    /// Unix seconds.
    std::optional<std::int64_t> created_at() const {
        return job_->has_created_at ? std::optional(job_->created_at) : std::nullopt;
    }
    std::optional<std::int64_t> started_at() const {
        return job_->has_started_at ? std::optional(job_->started_at) : std::nullopt;
    }
    std::optional<std::int64_t> completed_at() const {
        return job_->has_completed_at ? std::optional(job_->completed_at) : std::nullopt;
    }
    /// Nothing until the job is over.
    std::optional<Result> result() const {
        if (!job_->result) return std::nullopt;
        return Result(std::shared_ptr<const unsandbox_result>(job_, job_->result));
    }
    std::string json() const { return *detail::get(unsandbox_job_json, job_.get()); }
    const unsandbox_job *c_handle() const noexcept { return job_.get(); }

private:
    std::shared_ptr<const unsandbox_job> job_;
};

namespace detail {

/// A C object with setters, and the first error that one of them met.
template <class Self, class T, void (*Free)(T *)>
class Builder {
public:
    T *c_handle() const noexcept { return handle_.get(); }
    /// Gives the C object away; the caller frees it.
    T *release() noexcept { return handle_.release(); }
    /// What the first setter that failed met.
    const std::optional<Error> &error() const noexcept { return error_; }

protected:
    template <class New, class... Args>
    void make(New function, Args... args) {
        T *made = nullptr;
        note(function, args..., &made);
        handle_.reset(made);
    }
    template <class Set, class... Args>
    Self &set(Set function, Args... args) {
        if (!error_) note(function, handle_.get(), args...);
        return static_cast<Self &>(*this);
    }

private:
    template <class Function, class... Args>
    void note(Function function, Args... args) {
        unsandbox_error *err = nullptr;
        if (function(args..., &err) != UNSANDBOX_OK) error_.emplace(err);
    }
    Handle<T, Free> handle_;
    std::optional<Error> error_;
};

} // namespace detail

/// One program and its options.
class Request : public detail::Builder<Request, unsandbox_request, unsandbox_request_free> {
public:
    /// For execute: the language is known.
    Request(std::string_view language, std::string_view code) {
        make(unsandbox_request_new, language.data(), language.size(), code.data(), code.size());
    }
    /// For run: the language is detected.
    static Request detect(std::string_view code) {
        Request made;
        made.make(unsandbox_request_new_detect, code.data(), code.size());
        return made;
    }
    UNSANDBOX_SETTER(Request, env, (std::string_view name, std::string_view value), (name, value)) {
        return set(unsandbox_request_add_env, name.data(), name.size(), value.data(), value.size());
    }
    /// "zerotrust" or "semitrusted".
    UNSANDBOX_SETTER(Request, network_mode, (std::string_view mode), (mode)) {
        return set(unsandbox_request_set_network_mode, mode.data(), mode.size());
    }
    /// 1 to 900 seconds. Of any precision, such as 5s or 1500ms; rounded up to whole ones.
    UNSANDBOX_SETTER(Request, ttl, (std::chrono::duration<double> seconds), (seconds)) {
        const double whole = std::ceil(seconds.count());
        // What does not fit, NaN among it, is refused as the largest number is.
        const bool fits = whole > -1e18 && whole < 1e18;
        return set(unsandbox_request_set_ttl, fits ? static_cast<std::int64_t>(whole) : INT64_MAX);
    }
    UNSANDBOX_SETTER(Request, return_artifact, (bool yes = true), (yes)) {
        return set(unsandbox_request_set_return_artifact, yes ? 1 : 0);
    }
    UNSANDBOX_SETTER(Request, return_wasm_artifact, (bool yes = true), (yes)) {
        return set(unsandbox_request_set_return_wasm_artifact, yes ? 1 : 0);
    }
    UNSANDBOX_SETTER(Request, input_file, (std::string_view filename, std::string_view content), (filename, content)) {
        // An empty name is a name all the same, and refused as one.
        const char *name = filename.data() ? filename.data() : "";
        return set(unsandbox_request_add_input_file, name, filename.size(), detail::bytes(content),
            content.size());
    }
    /// A file that is called by its index, "0", "1", ….
    UNSANDBOX_SETTER(Request, input_file, (std::string_view content), (content)) {
        return set(unsandbox_request_add_input_file, static_cast<const char *>(nullptr), std::size_t(0),
            detail::bytes(content), content.size());
    }
    /// A file by its path in the working directory, as "pkg/util.py"; not for the service.
    UNSANDBOX_SETTER(Request, file, (std::string_view path, std::string_view content), (path, content)) {
        return set(unsandbox_request_add_file, path.data(), path.size(), detail::bytes(content), content.size());
    }
    UNSANDBOX_SETTER(Request, stdin_data, (std::string_view data), (data)) {
        return set(unsandbox_request_set_stdin, detail::bytes(data), data.size());
    }
    UNSANDBOX_SETTER(Request, arg, (std::string_view value), (value)) {
        return set(unsandbox_request_add_arg, value.data(), value.size());
    }
    UNSANDBOX_SETTER(Request, args, (std::initializer_list<std::string_view> values), (values)) {
        for (auto value : values) arg(value);
        return *this;
    }
    /// A flag of the compiler, such as "-O2"; not for the service.
    UNSANDBOX_SETTER(Request, flag, (std::string_view value), (value)) {
        return set(unsandbox_request_add_flag, value.data(), value.size());
    }
    /// Files that the program makes or changes in the working directory, by a pattern such as "*.png", or by a folder
    /// such as "out"; not for the service.
    UNSANDBOX_SETTER(Request, output, (std::string_view pattern), (pattern)) {
        return set(unsandbox_request_add_output, pattern.data(), pattern.size());
    }
    /// A limit by its name in the table of limits (docs/limits.md), such as "memory_bytes".
    UNSANDBOX_SETTER(Request, limit, (std::string_view name, std::uint64_t value), (name, value)) {
        return set(unsandbox_request_set_limit, name.data(), name.size(), value);
    }
    /// "never" or "if_lost": a job runs again if its server ended while it ran; not for the service.
    UNSANDBOX_SETTER(Request, rerun, (std::string_view word), (word)) {
        return set(unsandbox_request_set_rerun, word.data(), word.size());
    }
    /// URL to which a server of your own with webhooks posts that the job has ended; of jobs only, not for the service.
    UNSANDBOX_SETTER(Request, callback_url, (std::string_view url), (url)) {
        return set(unsandbox_request_set_callback_url, url.data(), url.size());
    }
    /// Path of the interpreter or compiler; only for the local engine.
    UNSANDBOX_SETTER(Request, runtime, (std::string_view path), (path)) {
        return set(unsandbox_request_set_runtime, path.data(), path.size());
    }

private:
    Request() = default;
};

/// How a client is set up; what is not set comes from the environment.
class Config : public detail::Builder<Config, unsandbox_config, unsandbox_config_free> {
public:
    Config() { make(unsandbox_config_new); }
    /// "local:", "http://HOST:PORT", "https://HOST" or "unix:/PATH".
    UNSANDBOX_SETTER(Config, base_url, (std::string_view url), (url)) {
        return set(unsandbox_config_set_base_url, url.data(), url.size());
    }
    UNSANDBOX_SETTER(Config, api_key, (std::string_view key), (key)) {
        return set(unsandbox_config_set_api_key, key.data(), key.size());
    }
    UNSANDBOX_SETTER(Config, key_pair, (std::string_view public_key, std::string_view secret_key),
                     (public_key, secret_key)) {
        return set(unsandbox_config_set_key_pair, public_key.data(), public_key.size(), secret_key.data(),
            secret_key.size());
    }
    UNSANDBOX_SETTER(Config, account, (std::uint32_t row), (row)) {
        return set(unsandbox_config_set_account, row);
    }
    UNSANDBOX_SETTER(Config, accounts_file, (std::string_view path), (path)) {
        return set(unsandbox_config_set_accounts_file, path.data(), path.size());
    }
    UNSANDBOX_SETTER(Config, ca_file, (std::string_view path), (path)) {
        return set(unsandbox_config_set_ca_file, path.data(), path.size());
    }
    /// "http://[USER:PASSWORD@]HOST:PORT" or "socks5://…"; "" for none, whatever the environment says.
    UNSANDBOX_SETTER(Config, proxy, (std::string_view url), (url)) {
        return set(unsandbox_config_set_proxy, url.data(), url.size());
    }
    UNSANDBOX_SETTER(Config, allow_plain_http_key, (bool yes = true), (yes)) {
        return set(unsandbox_config_set_allow_plain_http_key, yes ? 1 : 0);
    }
    UNSANDBOX_SETTER(Config, timeout, (std::chrono::milliseconds time), (time)) {
        return set(unsandbox_config_set_timeout_ms, static_cast<std::uint64_t>(time.count()));
    }
    UNSANDBOX_SETTER(Config, connect_timeout, (std::chrono::milliseconds timeout), (timeout)) {
        return set(unsandbox_config_set_connect_timeout_ms, static_cast<std::uint64_t>(timeout.count()));
    }
    UNSANDBOX_SETTER(Config, resolve_timeout, (std::chrono::milliseconds timeout), (timeout)) {
        return set(unsandbox_config_set_resolve_timeout_ms, static_cast<std::uint64_t>(timeout.count()));
    }
    UNSANDBOX_SETTER(Config, send_timeout, (std::chrono::milliseconds timeout), (timeout)) {
        return set(unsandbox_config_set_send_timeout_ms, static_cast<std::uint64_t>(timeout.count()));
    }
    UNSANDBOX_SETTER(Config, first_byte_timeout, (std::chrono::milliseconds timeout), (timeout)) {
        return set(unsandbox_config_set_first_byte_timeout_ms, static_cast<std::uint64_t>(timeout.count()));
    }
    UNSANDBOX_SETTER(Config, read_timeout, (std::chrono::milliseconds timeout), (timeout)) {
        return set(unsandbox_config_set_read_timeout_ms, static_cast<std::uint64_t>(timeout.count()));
    }
    /// Programs with a longer ttl are submitted as jobs and polled.
    UNSANDBOX_SETTER(Config, job_threshold, (std::chrono::seconds ttl), (ttl)) {
        return set(unsandbox_config_set_job_threshold, static_cast<std::uint32_t>(ttl.count()));
    }
    /// A call that is cancelled or past its deadline ends its program at any server.
    UNSANDBOX_SETTER(Config, cancel_jobs, (bool yes = true), (yes)) {
        return set(unsandbox_config_set_cancel_jobs, yes ? 1 : 0);
    }
    UNSANDBOX_SETTER(Config, retries, (std::uint32_t count), (count)) {
        return set(unsandbox_config_set_retries, count);
    }
    UNSANDBOX_SETTER(Config, reply_max_bytes, (std::size_t bytes), (bytes)) {
        return set(unsandbox_config_set_reply_max_bytes, bytes);
    }
    UNSANDBOX_SETTER(Config, user_agent, (std::string_view name), (name)) {
        return set(unsandbox_config_set_user_agent, name.data(), name.size());
    }
    /// "auto", "full" or "reduced".
    UNSANDBOX_SETTER(Config, isolation, (std::string_view policy), (policy)) {
        return set(unsandbox_config_set_isolation, policy.data(), policy.size());
    }
    UNSANDBOX_SETTER(Config, concurrency, (std::uint32_t count), (count)) {
        return set(unsandbox_config_set_concurrency, count);
    }
    UNSANDBOX_SETTER(Config, queue_max, (std::uint32_t count), (count)) {
        return set(unsandbox_config_set_queue_max, count);
    }
    /// A host that "semitrusted" programs on the local engine may reach, or "*.SUFFIX".
    UNSANDBOX_SETTER(Config, add_egress_host, (std::string_view host), (host)) {
        return set(unsandbox_config_add_egress_host, host.data(), host.size());
    }
};

/// Ends the calls that it was given to, from any thread. Copies are the same token.
class CancelToken {
public:
    CancelToken() {
        unsandbox_cancel_token *made = nullptr;
        (void)unsandbox_cancel_token_new(&made, nullptr);
        token_.reset(made, unsandbox_cancel_token_free);
    }
    void cancel() const noexcept { unsandbox_cancel_token_cancel(token_.get()); }
    bool is_cancelled() const noexcept {
        return unsandbox_cancel_token_is_cancelled(token_.get()) != 0;
    }
    unsandbox_cancel_token *c_handle() const noexcept { return token_.get(); }

private:
    std::shared_ptr<unsandbox_cancel_token> token_;
};

namespace detail {

/// What the callbacks of a call have thrown, the first of it, and the token by which that ends the call.
class Thrown {
public:
    /// Runs a callback, unless one has thrown before; whether it came to its end.
    template <class Call>
    bool guard(Call call) noexcept {
        return !has() && guard_always(std::move(call));
    }
    /// As guard, whatever was thrown before.
    template <class Call>
    bool guard_always(Call call) noexcept {
#ifdef UNSANDBOX_EXCEPTIONS
        try {
            call();
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!first_) first_ = std::current_exception();
            token_.cancel();
            return false;
        }
#else
        call();
#endif
        return true;
    }
    bool has() const noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        return static_cast<bool>(first_);
    }
    std::exception_ptr first() const noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        return first_;
    }
    /// The token that ends the call.
    void use(const CancelToken &token) {
        const std::lock_guard<std::mutex> lock(mutex_);
        token_ = token;
    }
    /// Before a call: forgets what an earlier one met; whether it met anything, so that its token is used up.
    bool forget() noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        return std::exchange(first_, nullptr) != nullptr;
    }

private:
    mutable std::mutex mutex_;
    std::exception_ptr first_;
    CancelToken token_;
};

} // namespace detail

/// Options of one call. Callbacks run on threads of the library. What one throws cancels the call, by its token, and is
/// thrown by the call, or by what takes the end of its task; there are no further callbacks then.
class Options : public detail::Builder<Options, unsandbox_options, unsandbox_options_free> {
public:
    Options() { make(unsandbox_options_new); }
    UNSANDBOX_SETTER(Options, timeout, (std::chrono::milliseconds time), (time)) {
        return set(unsandbox_options_set_timeout_ms, static_cast<std::uint64_t>(time.count()));
    }
    UNSANDBOX_SETTER(Options, cancel, (const CancelToken &token), (token)) {
        chosen_ = token;
        if (thrown_) thrown_->use(token);
        return set(unsandbox_options_set_cancel_token,
            static_cast<const unsandbox_cancel_token *>(token.c_handle()));
    }
    /// Output as the program writes it.
    UNSANDBOX_SETTER(Options, on_output, (std::function<void(Stream, std::string_view)> call), (std::move(call))) {
        using Call = Guarded<std::function<void(Stream, std::string_view)>>;
        void *data = new Call{std::move(call), guarded()};
        return set(
            unsandbox_options_set_output,
            static_cast<unsandbox_output_fn>([](void *it, std::int32_t stream,
                                                const std::uint8_t *bytes, std::size_t len) {
                const std::string_view view(reinterpret_cast<const char *>(bytes), len);
                const auto *guarded = static_cast<Call *>(it);
                guarded->thrown->guard([&] { guarded->call(static_cast<Stream>(stream), view); });
            }),
            data, static_cast<unsandbox_free_fn>([](void *it) { delete static_cast<Call *>(it); }));
    }
    /// Standard input of the next program: fills a buffer and gives how much it wrote, 0 at the end,
    /// a negative number for an error.
    UNSANDBOX_SETTER(Options, on_stdin, (std::function<std::int64_t(char *, std::size_t)> call), (std::move(call))) {
        using Call = Guarded<std::function<std::int64_t(char *, std::size_t)>>;
        void *data = new Call{std::move(call), guarded()};
        return set(
            unsandbox_options_set_stdin,
            static_cast<unsandbox_read_fn>(
                [](void *it, std::uint8_t *buffer, std::size_t capacity) -> std::int64_t {
                    const auto *guarded = static_cast<Call *>(it);
                    std::int64_t len = -1;
                    guarded->thrown->guard(
                        [&] { len = guarded->call(reinterpret_cast<char *>(buffer), capacity); });
                    return len;
                }),
            data, static_cast<unsandbox_free_fn>([](void *it) { delete static_cast<Call *>(it); }));
    }

private:
    friend class Client;

    template <class Function>
    struct Guarded {
        Function call;
        std::shared_ptr<detail::Thrown> thrown;
    };

    const std::shared_ptr<detail::Thrown> &guarded() {
        if (!thrown_) {
            thrown_ = std::make_shared<detail::Thrown>();
            new_token();
        }
        return thrown_;
    }
    void new_token() const {
        const CancelToken token = chosen_ ? *chosen_ : CancelToken();
        thrown_->use(token);
        (void)unsandbox_options_set_cancel_token(c_handle(), token.c_handle(), nullptr);
    }
    /// What the callbacks of the call that begins will have thrown; empty where there are none.
    std::shared_ptr<detail::Thrown> begin() const {
        if (thrown_ && thrown_->forget()) new_token();
        return thrown_;
    }
    std::shared_ptr<detail::Thrown> thrown_;
    std::optional<CancelToken> chosen_;
};

/// A part of the list of jobs.
struct JobPage {
    std::vector<Job> jobs;
    /// Whether the list goes on behind them.
    bool has_more = false;
};

/// A language as an endpoint offers it.
struct Language {
    std::string name;
    std::vector<std::string> aliases;
    /// Nothing where the endpoint does not say.
    std::optional<bool> available;
    std::optional<std::string> version;
    std::optional<std::string> path;
    std::optional<std::string> install;
    /// This project runs no test of it.
    bool untested = false;
};

/// What an endpoint says of a key.
struct KeyInfo {
    bool valid = false;
    std::optional<std::string> tier;
    std::optional<std::string> reason;
    std::optional<std::string> json;
};

/// What a key may have of an endpoint. A number that is not there is without a limit.
struct KeyAllowance {
    /// Programs at once, and of those the places that no other key gets.
    std::uint64_t concurrency = 0;
    std::uint64_t reserved = 0;
    /// Submissions that may wait for their turn.
    std::uint64_t queue = 0;
    /// Submissions that start in one turn of the key.
    std::uint64_t weight = 0;
    std::optional<std::uint64_t> requests_per_minute;
    /// Requests that may come at once.
    std::optional<std::uint64_t> burst;
    /// Seconds.
    std::int64_t max_ttl = 0;
    /// By their names, where they are lower than in the table of limits.
    std::map<std::string, std::uint64_t> max_limits;
    /// "zerotrust" alone, or "semitrusted" for both.
    std::string network_mode;
    /// Nothing where it may use all.
    std::optional<std::vector<std::string>> languages;
};

/// What a key has of an endpoint now, what it has used, and what it may have.
struct KeyUsage {
    /// Its short name, as in the log of the server; nothing without keys.
    std::optional<std::string> key;
    /// Programs that run now, and submissions that wait for their turn.
    std::uint64_t running = 0;
    std::uint64_t waiting = 0;
    /// Finished jobs that are kept now, and bytes of their results.
    std::uint64_t kept_jobs = 0;
    std::uint64_t kept_bytes = 0;
    /// Requests that may come at once now; nothing without a limit.
    std::optional<std::uint64_t> requests_remaining;
    /// When the server started, or the engine of this client was made, in Unix seconds.
    std::int64_t since = 0;
    /// Runs that have ended since then, by their status.
    std::map<std::string, std::uint64_t> runs;
    /// Of their programs, in milliseconds.
    std::uint64_t cpu_time_ms = 0;
    std::uint64_t wall_time_ms = 0;
    KeyAllowance limits;
    std::optional<std::string> json;
};

/// How an endpoint is.
struct Health {
    bool healthy = false;
    std::string status;
    std::optional<std::string> json;
};

/// One isolation layer as this machine gives it.
struct Layer {
    std::string name;
    bool available = false;
    std::string detail;
    std::string fix;
};

/// Which isolation layers this machine gives.
struct Probe {
    /// Nothing where execution would be refused.
    std::optional<std::string> level;
    std::vector<Layer> layers;
};

/// One thing that happened to a job.
class Event {
public:
    /// Takes over an event of the C API.
    explicit Event(unsandbox_event *event) : event_(event, unsandbox_event_free) {}

    EventKind kind() const noexcept {
        return static_cast<EventKind>(unsandbox_event_kind(event_.get()));
    }
    /// Of output and of a gap.
    Stream stream() const noexcept {
        return static_cast<Stream>(unsandbox_event_stream(event_.get()));
    }
    /// Of output and of a gap: how many bytes of the stream came before.
    std::uint64_t offset() const noexcept { return unsandbox_event_offset(event_.get()); }
    /// Of output: any bytes. A character may be cut in two.
    std::string data() const {
        std::size_t len = 0;
        const std::uint8_t *bytes = unsandbox_event_data(event_.get(), &len);
        return detail::text(reinterpret_cast<const char *>(bytes), len);
    }
    /// Of a gap: the number of bytes that are not kept any more.
    std::uint64_t missing_bytes() const noexcept {
        return unsandbox_event_missing_bytes(event_.get());
    }
    /// Of the events about the job itself; the last one has its result.
    std::optional<Job> job() const {
        const unsandbox_job *job = unsandbox_event_job(event_.get());
        if (!job) return std::nullopt;
        return Job(std::shared_ptr<const unsandbox_job>(event_, job));
    }
    /// The place behind the event, from which another reader goes on.
    Offsets offsets() const noexcept {
        return {unsandbox_event_stdout_offset(event_.get()),
                unsandbox_event_stderr_offset(event_.get())};
    }
    const unsandbox_event *c_handle() const noexcept { return event_.get(); }

private:
    std::shared_ptr<unsandbox_event> event_;
};

/// A reader of the events of a job. Belongs to one thread at a time; the job goes on without it.
class Events {
public:
    /// Takes over a reader of the C API.
    explicit Events(unsandbox_events *events) : events_(events) {}

    /// Waits without limit for the next event; nothing after the last one.
    Expected<std::optional<Event>> try_next() noexcept { return *take(-1); }
    /// As try_next; nothing at all where no event came in time.
    std::optional<Expected<std::optional<Event>>>
    try_next_for(std::chrono::milliseconds timeout) noexcept {
        const auto ms = timeout.count();
        return take(ms < 0 ? 0 : static_cast<std::int64_t>(ms));
    }

#ifdef UNSANDBOX_EXCEPTIONS
    /// As try_next; throws Error.
    std::optional<Event> next() { return try_next().value(); }
#endif
    unsandbox_events *c_handle() const noexcept { return events_.get(); }
    unsandbox_events *release() noexcept { return events_.release(); }

private:
    std::optional<Expected<std::optional<Event>>> take(std::int64_t timeout_ms) {
        unsandbox_event *event = nullptr;
        unsandbox_error *err = nullptr;
        const auto code = unsandbox_events_next(events_.get(), timeout_ms, &event, &err);
        if (code == UNSANDBOX_PENDING) return std::nullopt;
        if (code != UNSANDBOX_OK) return Expected<std::optional<Event>>(Error(err));
        std::optional<Event> next;
        if (event) next.emplace(event);
        return Expected<std::optional<Event>>(std::move(next));
    }
    detail::Handle<unsandbox_events, unsandbox_events_free> events_;
};

namespace detail {

// What each object of the C API becomes; it is freed where nothing keeps it.

inline Result value_of(unsandbox_result *made) { return Result(made); }

inline Job value_of(unsandbox_job *made) { return Job(made); }

inline Events value_of(unsandbox_events *made) { return Events(made); }

inline std::vector<Job> value_of(unsandbox_job_list *made) {
    const std::shared_ptr<unsandbox_job_list> list(made, unsandbox_job_list_free);
    std::vector<Job> all;
    for (std::size_t i = 0; i < unsandbox_job_list_count(made); i++)
        all.emplace_back(
            std::shared_ptr<const unsandbox_job>(list, unsandbox_job_list_at(made, i)));
    return all;
}

inline std::vector<Language> value_of(unsandbox_language_list *made) {
    const Handle<unsandbox_language_list, unsandbox_language_list_free> list(made);
    std::vector<Language> all;
    for (std::size_t i = 0; i < unsandbox_language_list_count(made); i++) {
        const unsandbox_language *it = unsandbox_language_list_at(made, i);
        Language language;
        language.name = *get(unsandbox_language_name, it);
        for (std::size_t k = 0; k < unsandbox_language_alias_count(it); k++)
            language.aliases.push_back(*get(unsandbox_language_alias, it, k));
        const auto available = unsandbox_language_available(it);
        if (available >= 0) language.available = available != 0;
        language.version = get(unsandbox_language_version, it);
        language.path = get(unsandbox_language_path, it);
        language.install = get(unsandbox_language_install, it);
        language.untested = unsandbox_language_is_untested(it) != 0;
        all.push_back(std::move(language));
    }
    return all;
}

inline KeyInfo value_of(unsandbox_key *made) {
    const Handle<unsandbox_key, unsandbox_key_free> owned(made);
    return {unsandbox_key_is_valid(made) != 0, get(unsandbox_key_tier, made),
            get(unsandbox_key_reason, made), get(unsandbox_key_json, made)};
}

inline KeyAllowance allowance_of(const unsandbox_usage *usage) {
    KeyAllowance limits;
    limits.concurrency = unsandbox_usage_concurrency(usage);
    limits.reserved = unsandbox_usage_reserved(usage);
    limits.queue = unsandbox_usage_queue(usage);
    limits.weight = unsandbox_usage_weight(usage);
    if (unsandbox_usage_has_requests_per_minute(usage))
        limits.requests_per_minute = unsandbox_usage_requests_per_minute(usage);
    if (unsandbox_usage_has_burst(usage)) limits.burst = unsandbox_usage_burst(usage);
    limits.max_ttl = unsandbox_usage_max_ttl(usage);
    for (std::size_t i = 0; i < unsandbox_usage_max_limit_count(usage); i++)
        limits.max_limits[*get(unsandbox_usage_max_limit_name, usage, i)] =
            unsandbox_usage_max_limit(usage, i);
    limits.network_mode = *get(unsandbox_usage_network_mode, usage);
    if (unsandbox_usage_has_languages(usage)) limits.languages.emplace();
    for (std::size_t i = 0; i < unsandbox_usage_language_count(usage); i++)
        limits.languages->push_back(*get(unsandbox_usage_language, usage, i));
    return limits;
}

inline KeyUsage value_of(unsandbox_usage *made) {
    const Handle<unsandbox_usage, unsandbox_usage_free> owned(made);
    KeyUsage usage;
    usage.key = get(unsandbox_usage_key, made);
    usage.running = unsandbox_usage_running(made);
    usage.waiting = unsandbox_usage_waiting(made);
    usage.kept_jobs = unsandbox_usage_kept_jobs(made);
    usage.kept_bytes = unsandbox_usage_kept_bytes(made);
    if (unsandbox_usage_has_requests_remaining(made))
        usage.requests_remaining = unsandbox_usage_requests_remaining(made);
    usage.since = unsandbox_usage_since(made);
    for (std::size_t i = 0; i < unsandbox_usage_status_count(made); i++)
        usage.runs[*get(unsandbox_usage_status, made, i)] = unsandbox_usage_status_runs(made, i);
    usage.cpu_time_ms = unsandbox_usage_cpu_time_ms(made);
    usage.wall_time_ms = unsandbox_usage_wall_time_ms(made);
    usage.limits = allowance_of(made);
    usage.json = get(unsandbox_usage_json, made);
    return usage;
}

inline Health value_of(unsandbox_health *made) {
    const Handle<unsandbox_health, unsandbox_health_free> owned(made);
    return {unsandbox_health_is_healthy(made) != 0, *get(unsandbox_health_status, made),
            get(unsandbox_health_json, made)};
}

inline Probe value_of(unsandbox_probe *made) {
    const Handle<unsandbox_probe, unsandbox_probe_free> owned(made);
    Probe probe{get(unsandbox_probe_level, made), {}};
    for (std::size_t i = 0; i < unsandbox_probe_layer_count(made); i++)
        probe.layers.push_back({*get(unsandbox_probe_layer_name, made, i),
                                unsandbox_probe_layer_is_available(made, i) != 0,
                                *get(unsandbox_probe_layer_detail, made, i),
                                *get(unsandbox_probe_layer_fix, made, i)});
    return probe;
}

/// Calls a function of the C API whose last parameters receive an object and an error.
template <class Given, class Function, class... Args>
auto received(Function function, Args... args)
    -> Expected<decltype(value_of(static_cast<Given *>(nullptr)))> {
    Given *given = nullptr;
    unsandbox_error *err = nullptr;
    if (function(args..., &given, &err) != UNSANDBOX_OK) return Error(err);
    return value_of(given);
}

} // namespace detail

/// An execution under way. Destroying it cancels it, if it is not done.
class Task {
public:
    /// Takes over a task of the C API.
    explicit Task(unsandbox_task *task, std::shared_ptr<detail::Thrown> thrown = nullptr)
        : task_(task), thrown_(std::move(thrown)) {}

    bool is_done() const noexcept { return unsandbox_task_is_done(task_.get()) != 0; }
    void cancel() const noexcept { unsandbox_task_cancel(task_.get()); }
    /// Readable once the task is done: for poll, epoll and the like. -1 where there is none.
    int fd() const noexcept {
        std::int32_t descriptor = -1;
        (void)unsandbox_task_fd(task_.get(), &descriptor, nullptr);
        return descriptor;
    }
    /// Waits and takes the end, which can be taken once; nothing where it did not come in time.
    std::optional<Expected<Result>> try_wait_for(std::chrono::milliseconds timeout) const noexcept {
        const auto ms = timeout.count();
        return wait(ms < 0 ? 0 : static_cast<std::int64_t>(ms));
    }
    /// Waits without limit and takes the end, which can be taken once.
    Expected<Result> try_get() const noexcept { return *wait(-1); }

#ifdef UNSANDBOX_EXCEPTIONS
    /// As try_wait_for; throws Error.
    std::optional<Result> wait_for(std::chrono::milliseconds timeout) const {
        auto end = try_wait_for(timeout);
        if (!end) return std::nullopt;
        return std::move(*end).value();
    }
    /// As try_get; throws Error.
    Result get() const { return try_get().value(); }
#endif
    unsandbox_task *c_handle() const noexcept { return task_.get(); }
    unsandbox_task *release() noexcept { return task_.release(); }

private:
    std::optional<Expected<Result>> wait(std::int64_t timeout_ms) const {
        unsandbox_result *result = nullptr;
        unsandbox_error *err = nullptr;
        const auto code = unsandbox_task_wait(task_.get(), timeout_ms, &result, &err);
        if (code == UNSANDBOX_PENDING) return std::nullopt;
        Expected<Result> end = code == UNSANDBOX_OK ? Expected<Result>(Result(result)) : Error(err);
        const auto first = thrown_ ? thrown_->first() : nullptr;
        return first ? Error(first) : std::move(end);
    }
    detail::Handle<unsandbox_task, unsandbox_task_free> task_;
    std::shared_ptr<detail::Thrown> thrown_;
};

/// A place that runs code: this machine, a server of your own, or the service.
class Client {
public:
    /// Takes over a client of the C API.
    explicit Client(unsandbox_client *client) : client_(client) {}

    static Expected<Client> try_create(const Config &config) noexcept {
        if (config.error()) return *config.error();
        unsandbox_client *made = nullptr;
        unsandbox_error *err = nullptr;
        if (unsandbox_client_new(config.c_handle(), &made, &err) != UNSANDBOX_OK) return Error(err);
        return Client(made);
    }
    /// Configured by the environment alone.
    static Expected<Client> try_create() noexcept {
        unsandbox_client *made = nullptr;
        unsandbox_error *err = nullptr;
        if (unsandbox_client_from_env(&made, &err) != UNSANDBOX_OK) return Error(err);
        return Client(made);
    }
#ifdef UNSANDBOX_EXCEPTIONS
    /// As try_create; throws Error.
    explicit Client(const Config &config) : Client(try_create(config).value()) {}
    /// As try_create; throws Error.
    Client() : Client(try_create().value()) {}
#endif

    /// "local:", or a URL.
    std::string endpoint() const {
        return *detail::get(unsandbox_client_endpoint, client_.get());
    }
    bool is_local() const noexcept { return unsandbox_client_is_local(client_.get()) != 0; }
    /// Ends what runs; later calls fail with CONFLICT.
    void close() const noexcept { unsandbox_client_close(client_.get()); }

    /// Runs a program and waits for its result.
    Expected<Result> try_execute(const Request &request,
                                 const Options &options = {}) const noexcept {
        if (request.error()) return *request.error();
        return ask<unsandbox_result>(options, unsandbox_client_execute, request.c_handle());
    }

    /// As try_execute; the language is detected.
    Expected<Result> try_run(const Request &request, const Options &options = {}) const noexcept {
        if (request.error()) return *request.error();
        return ask<unsandbox_result>(options, unsandbox_client_run, request.c_handle());
    }

    /// Submits a program and returns at once.
    Expected<Job> try_execute_async(const Request &request,
                                    const Options &options = {}) const noexcept {
        if (request.error()) return *request.error();
        return ask<unsandbox_job>(options, unsandbox_client_execute_async, request.c_handle());
    }

    /// As try_execute_async; the language is detected.
    Expected<Job> try_run_async(const Request &request,
                                const Options &options = {}) const noexcept {
        if (request.error()) return *request.error();
        return ask<unsandbox_job>(options, unsandbox_client_run_async, request.c_handle());
    }

    /// Asks how a job is.
    Expected<Job> try_get_job(std::string_view job_id, const Options &options = {}) const noexcept {
        return ask<unsandbox_job>(options, unsandbox_client_get_job, job_id.data(), job_id.size());
    }

    /// Waits for the end of a job, at most for the options' timeout.
    Expected<Result> try_wait_job(std::string_view job_id,
                                  const Options &options = {}) const noexcept {
        return ask<unsandbox_result>(options, unsandbox_client_wait_job, job_id.data(),
                                     job_id.size());
    }

    /// Reads what happens to a job, and first what has happened behind the output that the caller has. The
    /// options' timeout bounds the time until the last event.
    Expected<Events> try_job_events(std::string_view job_id, Offsets from = {},
                                    const Options &options = {}) const noexcept {
        return ask<unsandbox_events>(options, unsandbox_events_new, job_id.data(), job_id.size(),
                                     from.out, from.err);
    }

    /// Cancels a job and gives what it had written by then.
    Expected<Result> try_cancel_job(std::string_view job_id,
                                    const Options &options = {}) const noexcept {
        return ask<unsandbox_result>(options, unsandbox_client_cancel_job, job_id.data(),
                                     job_id.size());
    }

    /// Deletes a job that has ended, with its result and its artifacts.
    Expected<Done> try_delete_job(std::string_view job_id,
                                  const Options &options = {}) const noexcept {
        if (options.error()) return *options.error();
        unsandbox_error *err = nullptr;
        const auto code = unsandbox_client_delete_job(client_.get(), job_id.data(), job_id.size(),
                                                      options.c_handle(), &err);
        if (code != UNSANDBOX_OK) return Error(err);
        return Done();
    }

    /// The jobs of this key that are pending or running.
    Expected<std::vector<Job>> try_list_jobs(const Options &options = {}) const noexcept {
        return ask<unsandbox_job_list>(options, unsandbox_client_list_jobs);
    }

    /// At most so many of them (0 for all, else 1 to 1000), in the order of their submissions, behind the
    /// job with this id, which may have ended since.
    Expected<JobPage> try_list_jobs_page(std::uint32_t limit, std::string_view after = {},
                                         const Options &options = {}) const noexcept {
        if (options.error()) return *options.error();
        unsandbox_job_list *made = nullptr;
        unsandbox_error *err = nullptr;
        const auto code = unsandbox_client_list_jobs_page(
            client_.get(), limit, after.data(), after.size(), options.c_handle(), &made, &err);
        if (code != UNSANDBOX_OK) return Error(err);
        const bool has_more = unsandbox_job_list_has_more(made) != 0;
        return JobPage{detail::value_of(made), has_more};
    }

    /// What the endpoint offers.
    Expected<std::vector<Language>> try_languages(const Options &options = {}) const noexcept {
        return ask<unsandbox_language_list>(options, unsandbox_client_languages);
    }

    /// Whether the configured key is good.
    Expected<KeyInfo> try_validate_key(const Options &options = {}) const noexcept {
        return ask<unsandbox_key>(options, unsandbox_client_validate_key);
    }

    /// What the key may have of the endpoint, what it has now, and what it has used.
    Expected<KeyUsage> try_usage(const Options &options = {}) const noexcept {
        return ask<unsandbox_usage>(options, unsandbox_client_usage);
    }

    /// Whether the endpoint takes executions.
    Expected<Health> try_health(const Options &options = {}) const noexcept {
        return ask<unsandbox_health>(options, unsandbox_client_health);
    }

    /// Which isolation layers this machine gives; only for "local:".
    Expected<Probe> try_probe() const noexcept {
        return detail::received<unsandbox_probe>(unsandbox_client_probe, client_.get());
    }

    /// Starts a program and returns at once; notify is called once from a thread of the library, when
    /// the task is done. What it throws is thrown where the end of the task is taken, if that comes later.
    Expected<Task> try_start(const Request &request, std::function<void()> notify = nullptr,
                             const Options &options = {}) const noexcept {
        if (request.error()) return *request.error();
        return task(std::move(notify), options, [&](auto... rest) {
            return unsandbox_task_start(client_.get(), request.c_handle(), rest...);
        });
    }

    /// As try_start, for the end of a job; cancelling the task ends the wait and not the job.
    Expected<Task> try_start_wait_job(std::string_view job_id,
                                      std::function<void()> notify = nullptr,
                                      const Options &options = {}) const noexcept {
        return task(std::move(notify), options, [&](auto... rest) {
            return unsandbox_task_start_wait_job(client_.get(), job_id.data(), job_id.size(), rest...);
        });
    }

    /// A method by its name, with JSON in and JSON out.
    Expected<std::string> try_call_json(std::string_view method,
                                        std::string_view json) const noexcept {
        char *made = nullptr;
        std::size_t len = 0;
        unsandbox_error *err = nullptr;
        const auto code =
            unsandbox_client_call_json(client_.get(), method.data(), method.size(), json.data(),
                                       json.size(), &made, &len, &err);
        if (code != UNSANDBOX_OK) return Error(err);
        const detail::Handle<char, unsandbox_string_free> owned(made);
        return std::string(made, len);
    }

#ifdef UNSANDBOX_EXCEPTIONS
    // As the functions above without try_; each throws Error.

    Result execute(const Request &request, const Options &options = {}) const {
        return try_execute(request, options).value();
    }
    Result run(const Request &request, const Options &options = {}) const {
        return try_run(request, options).value();
    }
    Job execute_async(const Request &request, const Options &options = {}) const {
        return try_execute_async(request, options).value();
    }
    Job run_async(const Request &request, const Options &options = {}) const {
        return try_run_async(request, options).value();
    }
    Job get_job(std::string_view job_id, const Options &options = {}) const {
        return try_get_job(job_id, options).value();
    }
    Result wait_job(std::string_view job_id, const Options &options = {}) const {
        return try_wait_job(job_id, options).value();
    }
    Events job_events(std::string_view job_id, Offsets from = {}, const Options &options = {}) const {
        return try_job_events(job_id, from, options).value();
    }
    Result cancel_job(std::string_view job_id, const Options &options = {}) const {
        return try_cancel_job(job_id, options).value();
    }
    void delete_job(std::string_view job_id, const Options &options = {}) const {
        try_delete_job(job_id, options).value();
    }
    std::vector<Job> list_jobs(const Options &options = {}) const {
        return try_list_jobs(options).value();
    }
    JobPage list_jobs_page(std::uint32_t limit, std::string_view after = {},
                           const Options &options = {}) const {
        return try_list_jobs_page(limit, after, options).value();
    }
    std::vector<Language> languages(const Options &options = {}) const {
        return try_languages(options).value();
    }
    KeyInfo validate_key(const Options &options = {}) const {
        return try_validate_key(options).value();
    }
    KeyUsage usage(const Options &options = {}) const {
        return try_usage(options).value();
    }
    Health health(const Options &options = {}) const {
        return try_health(options).value();
    }
    Probe probe() const {
        return try_probe().value();
    }
    Task start(const Request &request, std::function<void()> notify = nullptr,
               const Options &options = {}) const {
        return try_start(request, std::move(notify), options).value();
    }
    Task start_wait_job(std::string_view job_id, std::function<void()> notify = nullptr,
                        const Options &options = {}) const {
        return try_start_wait_job(job_id, std::move(notify), options).value();
    }
    std::string call_json(std::string_view method, std::string_view json) const {
        return try_call_json(method, json).value();
    }
#endif

    unsandbox_client *c_handle() const noexcept { return client_.get(); }
    unsandbox_client *release() noexcept { return client_.release(); }

private:
    template <class Start>
    static Expected<Task> task(std::function<void()> notify, const Options &options, Start start) {
        if (options.error()) return *options.error();
        auto thrown = options.begin();
        if (!thrown && notify) thrown = std::make_shared<detail::Thrown>();
        using Notify = Options::Guarded<std::function<void()>>;
        auto owned = notify ? std::make_unique<Notify>(Notify{std::move(notify), thrown}) : nullptr;
        const unsandbox_notify_fn call = [](void *data) {
            const std::unique_ptr<Notify> once(static_cast<Notify *>(data));
            once->thrown->guard_always(once->call);
        };
        unsandbox_task *made = nullptr;
        unsandbox_error *err = nullptr;
        const auto code = start(static_cast<const unsandbox_options *>(options.c_handle()),
                                owned ? call : nullptr, static_cast<void *>(owned.get()), &made, &err);
        if (code != UNSANDBOX_OK) return Error(err);
        // The call that comes once frees it.
        (void)owned.release();
        return Task(made, std::move(thrown));
    }
    /// Calls a function of the C API that takes options and gives an object.
    template <class Given, class Function, class... Args>
    auto ask(const Options &options, Function function, Args... args) const
        -> Expected<decltype(detail::value_of(static_cast<Given *>(nullptr)))> {
        if (options.error()) return *options.error();
        const auto thrown = options.begin();
        auto given = detail::received<Given>(function, client_.get(), args..., options.c_handle());
        if (const auto first = thrown ? thrown->first() : nullptr) return Error(first);
        return given;
    }
    detail::Handle<unsandbox_client, unsandbox_client_free> client_;
};

/// Sends the library's messages to a function, for the whole process; level is UNSANDBOX_LOG_….
/// It is called from any thread; what it throws is dropped; an empty one ends logging.
inline Expected<Done> try_set_log(std::function<void(std::int32_t, std::string_view)> call,
                                  std::int32_t level) noexcept {
    using Call = std::function<void(std::int32_t, std::string_view)>;
    const bool logs = static_cast<bool>(call);
    unsandbox_error *err = nullptr;
    const unsandbox_log_fn forward = [](void *it, std::int32_t of, const char *data,
                                        std::size_t len) {
        detail::Thrown().guard([&] { (*static_cast<Call *>(it))(of, std::string_view(data, len)); });
    };
    const auto code = unsandbox_set_log(
        logs ? forward : nullptr, new Call(std::move(call)),
        [](void *it) { delete static_cast<Call *>(it); }, level, &err);
    if (code != UNSANDBOX_OK) return Error(err);
    return Done();
}

} // namespace unsandbox

#undef UNSANDBOX_SETTER

#endif // LIBUNSANDBOX_HPP
