/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * libunsandbox: run code in any language in a sandbox, on this machine, at a server of your own, or at
 * the service api.unsandbox.com. Generated from crates/unsandbox-capi; do not edit.
 *
 *     unsandbox_error *err = NULL;
 *     unsandbox_client *client = NULL;
 *     unsandbox_request *request = NULL;
 *     unsandbox_result *result = NULL;
 *     if (unsandbox_client_from_env(&client, &err) == UNSANDBOX_OK
 *         && unsandbox_request_new(UNSANDBOX_TEXT("python"), UNSANDBOX_TEXT("print(6 * 7)"),
 *                                  &request, &err) == UNSANDBOX_OK
 *         && unsandbox_client_execute(client, request, NULL, &result, &err) == UNSANDBOX_OK)
 *         printf("%s", result->stdout_data);
 *     else
 *         fprintf(stderr, "%s\n", unsandbox_error_message(err, NULL));
 *     unsandbox_result_free(result);
 *     unsandbox_request_free(request);
 *     unsandbox_client_free(client);
 *     unsandbox_error_free(err);
 *
 * How to read it:
 *   Operations return UNSANDBOX_OK (0) or a negative number, take their inputs first, their outputs
 *   next, and last an unsandbox_error ** that may be NULL. On failure no output is touched; on success
 *   the error is not. A program that fails is a result, never an error.
 *   Text and bytes go in as pointer and length; UNSANDBOX_TEXT("…") is both, for text that ends in NUL.
 *   NULL with length 0 is empty. What is set is copied. Text is UTF-8.
 *   What comes out has a NUL behind it that its length does not count, and is borrowed until its owner
 *   is freed. Every object has one function that frees it; all of them take NULL.
 *   NULL handles never crash: operations return UNSANDBOX_ERR_ARGUMENT, getters 0, NULL or "".
 *   A client, a cancel token and a task may be used by many threads at once; results, jobs, lists and
 *   errors never change; a configuration, a request, options and a reader of events belong to one
 *   thread at a time.
 *   The library prints nothing, installs no signal handler, and keeps no state per thread.
 *   A result and a job have a function for each field; their structs have the fields of version 0.1.
 *
 * Contents (search for the words):
 *   Numbers and their words: unsandbox_code
 *   Version: unsandbox_version, unsandbox_abi
 *   Errors: unsandbox_error
 *   Configuration of a client: unsandbox_config
 *   Clients: unsandbox_client
 *   Requests: unsandbox_request
 *   Options of one call (deadline, cancelling, streams): unsandbox_cancel, unsandbox_options
 *   Artifacts: unsandbox_artifact, unsandbox_result
 *   Results, field by field: unsandbox_result
 *   Lists of jobs: unsandbox_job
 *   Jobs, field by field: unsandbox_job
 *   Languages, keys, health and isolation: unsandbox_language, unsandbox_key, unsandbox_health, unsandbox_probe
 *   Usage of a key: unsandbox_usage
 *   Events of a job: unsandbox_events, unsandbox_event
 *   Tasks, for event loops: unsandbox_task
 *   JSON in and out: three functions and no structs: unsandbox_client, unsandbox_string
 *   Log: unsandbox_set
 */

#ifndef LIBUNSANDBOX_H
#define LIBUNSANDBOX_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header; unsandbox_version tells that of the library. */
#define UNSANDBOX_VERSION "0.1.0"
#define UNSANDBOX_VERSION_MAJOR 0
#define UNSANDBOX_VERSION_MINOR 1
#define UNSANDBOX_VERSION_PATCH 0
/** MAJOR * 10000 + MINOR * 100 + PATCH, to compare in the preprocessor. */
#define UNSANDBOX_VERSION_NUMBER 100
/** Goes up with every addition; unsandbox_abi_version tells the library's. */
#define UNSANDBOX_ABI_VERSION 4

/** As a length: the text ends at its first NUL. */
#define UNSANDBOX_NUL_TERMINATED ((size_t)-1)
/** Text that ends in NUL, in place of a pointer and its length. */
#define UNSANDBOX_TEXT(text) (text), UNSANDBOX_NUL_TERMINATED

/* How functions are found: define UNSANDBOX_STATIC on Windows when linking the static library. */
#ifndef UNSANDBOX_API
#if defined(_WIN32) && !defined(UNSANDBOX_STATIC)
#define UNSANDBOX_API __declspec(dllimport)
#elif defined(__GNUC__)
#define UNSANDBOX_API __attribute__((visibility("default")))
#else
#define UNSANDBOX_API
#endif
#endif

/* A warning where the return value is dropped. */
#ifndef UNSANDBOX_NODISCARD
#if defined(__cplusplus) && __cplusplus >= 201703L
#define UNSANDBOX_NODISCARD [[nodiscard]]
#elif defined(__GNUC__)
#define UNSANDBOX_NODISCARD __attribute__((warn_unused_result))
#else
#define UNSANDBOX_NODISCARD
#endif
#endif

/* A warning where the function is used. */
#ifndef UNSANDBOX_DEPRECATED
#if defined(__GNUC__)
#define UNSANDBOX_DEPRECATED(message) __attribute__((deprecated(message)))
#elif defined(_MSC_VER)
#define UNSANDBOX_DEPRECATED(message) __declspec(deprecated(message))
#else
#define UNSANDBOX_DEPRECATED(message)
#endif
#endif

/**
 * What an operation returns. Numbers are never reused; treat an unknown negative number as an error.
 */
typedef enum unsandbox_code {
    /**
     * It worked.
     */
    UNSANDBOX_OK = 0,
    /**
     * Not finished yet; only unsandbox_task_wait returns it.
     */
    UNSANDBOX_PENDING = 1,
    /**
     * A value of the request is wrong; the message names the field, the value and the limit.
     */
    UNSANDBOX_ERR_ARGUMENT = -1,
    /**
     * Endpoint, key file or certificate is unusable.
     */
    UNSANDBOX_ERR_CONFIG = -2,
    /**
     * The server could not be reached, or the connection broke.
     */
    UNSANDBOX_ERR_CONNECT = -3,
    /**
     * Certificate or handshake failed.
     */
    UNSANDBOX_ERR_TLS = -4,
    /**
     * The deadline of the call passed. A program that passes its ttl is a result, not this.
     */
    UNSANDBOX_ERR_TIMEOUT = -5,
    /**
     * The caller cancelled the call.
     */
    UNSANDBOX_ERR_CANCELLED = -6,
    /**
     * The server sent a malformed reply.
     */
    UNSANDBOX_ERR_PROTOCOL = -7,
    /**
     * The reply is larger than reply_max_bytes.
     */
    UNSANDBOX_ERR_TOO_LARGE = -8,
    /**
     * Key or signature was refused.
     */
    UNSANDBOX_ERR_AUTH = -9,
    /**
     * The key is known but not allowed.
     */
    UNSANDBOX_ERR_PERMISSION = -10,
    /**
     * No such job for this key.
     */
    UNSANDBOX_ERR_NOT_FOUND = -11,
    /**
     * The server accepted the job and now answers 404 for it.
     */
    UNSANDBOX_ERR_JOB_LOST = -12,
    /**
     * The request conflicts with the current state.
     */
    UNSANDBOX_ERR_CONFLICT = -13,
    /**
     * Too many requests; unsandbox_error_retry_after_ms says how long to wait.
     */
    UNSANDBOX_ERR_RATE_LIMITED = -14,
    /**
     * The language's runtime is missing on that machine; the message names the package.
     */
    UNSANDBOX_ERR_LANGUAGE_UNAVAILABLE = -15,
    /**
     * An isolation layer is missing on that machine; the message names layer, cause and fix.
     */
    UNSANDBOX_ERR_ISOLATION_UNAVAILABLE = -16,
    /**
     * Any other refusal of the server.
     */
    UNSANDBOX_ERR_API = -17,
    /**
     * The server failed.
     */
    UNSANDBOX_ERR_SERVER = -18,
    /**
     * A bug in this library.
     */
    UNSANDBOX_ERR_INTERNAL = -19,
    /**
     * The server's store is full or cannot be written; nothing was run.
     */
    UNSANDBOX_ERR_STORE = -20,
} unsandbox_code;

/**
 * State of a job, and of the result of a finished one.
 */
typedef enum unsandbox_status {
    /**
     * A word that this version does not know; status_text has it.
     */
    UNSANDBOX_STATUS_OTHER = 0,
    UNSANDBOX_STATUS_PENDING = 1,
    UNSANDBOX_STATUS_RUNNING = 2,
    /**
     * The program ended by itself, with whatever exit code.
     */
    UNSANDBOX_STATUS_COMPLETED = 3,
    /**
     * The program passed its ttl; what it had written by then is there.
     */
    UNSANDBOX_STATUS_TIMEOUT = 4,
    UNSANDBOX_STATUS_CANCELLED = 5,
    /**
     * The engine or server failed, not the program.
     */
    UNSANDBOX_STATUS_FAILED = 6,
} unsandbox_status;

/**
 * The limit that ended a program.
 */
typedef enum unsandbox_limit {
    UNSANDBOX_LIMIT_NONE = 0,
    UNSANDBOX_LIMIT_WALL = 1,
    UNSANDBOX_LIMIT_CPU = 2,
    UNSANDBOX_LIMIT_MEMORY = 3,
    UNSANDBOX_LIMIT_PROCESSES = 4,
    UNSANDBOX_LIMIT_OUTPUT = 5,
    UNSANDBOX_LIMIT_FILES = 6,
} unsandbox_limit;

/**
 * Which stream a piece of output belongs to.
 */
typedef enum unsandbox_stream {
    UNSANDBOX_STREAM_STDOUT = 1,
    UNSANDBOX_STREAM_STDERR = 2,
} unsandbox_stream;

/**
 * What happened to a job.
 */
typedef enum unsandbox_kind_of_event {
    /**
     * An event that this version does not know.
     */
    UNSANDBOX_EVENT_OTHER = 0,
    /**
     * The job is accepted.
     */
    UNSANDBOX_EVENT_QUEUED = 1,
    /**
     * The program was started.
     */
    UNSANDBOX_EVENT_STARTED = 2,
    /**
     * The program wrote something.
     */
    UNSANDBOX_EVENT_OUTPUT = 3,
    /**
     * Output that is not kept any more.
     */
    UNSANDBOX_EVENT_GAP = 4,
    /**
     * The job is over. The last event.
     */
    UNSANDBOX_EVENT_FINISHED = 5,
} unsandbox_kind_of_event;

/**
 * How much the log callback is told; each level includes those before it.
 */
typedef enum unsandbox_log_level {
    UNSANDBOX_LOG_OFF = 0,
    UNSANDBOX_LOG_ERROR = 1,
    UNSANDBOX_LOG_WARN = 2,
    UNSANDBOX_LOG_INFO = 3,
    UNSANDBOX_LOG_DEBUG = 4,
    UNSANDBOX_LOG_TRACE = 5,
} unsandbox_log_level;

/**
 * Ends calls from any thread. Shareable between threads; cancelling is final.
 */
typedef struct unsandbox_cancel_token unsandbox_cancel_token;

/**
 * A place that runs code. Shareable: any number of threads may use one client at once, and should,
 * for it keeps connections and warm sandboxes.
 */
typedef struct unsandbox_client unsandbox_client;

/**
 * How a client is set up; what is not set comes from the environment. Belongs to one thread at a
 * time, and may be used for many clients.
 */
typedef struct unsandbox_config unsandbox_config;

/**
 * Why an operation failed. Made by the library, owned by the caller, never changed: any thread may
 * read it. A program that exits non-zero is a result and not an error.
 */
typedef struct unsandbox_error unsandbox_error;

/**
 * One thing that happened to a job. Never changed: any thread may read it.
 */
typedef struct unsandbox_event unsandbox_event;

/**
 * A reader of the events of one job. Belongs to one thread at a time.
 */
typedef struct unsandbox_events unsandbox_events;

/**
 * How an endpoint is. Never changed: any thread may read it.
 */
typedef struct unsandbox_health unsandbox_health;

/**
 * Jobs, as unsandbox_client_list_jobs gives them. Never changed: any thread may read it.
 */
typedef struct unsandbox_job_list unsandbox_job_list;

/**
 * What an endpoint says of a key. Never changed: any thread may read it.
 */
typedef struct unsandbox_key unsandbox_key;

/**
 * A language as an endpoint offers it. Belongs to its list.
 */
typedef struct unsandbox_language unsandbox_language;

/**
 * Languages, as unsandbox_client_languages gives them. Never changed: any thread may read it.
 */
typedef struct unsandbox_language_list unsandbox_language_list;

/**
 * Options of one call. Belongs to one thread at a time; a call takes what it needs of it, so it may
 * be freed or used again while the call runs.
 */
typedef struct unsandbox_options unsandbox_options;

/**
 * Which isolation layers this machine gives. Never changed: any thread may read it.
 */
typedef struct unsandbox_probe unsandbox_probe;

/**
 * One program and its options. Belongs to one thread at a time; using it does not change it, so one
 * request may be executed many times.
 */
typedef struct unsandbox_request unsandbox_request;

/**
 * An execution under way. Shareable between threads.
 */
typedef struct unsandbox_task unsandbox_task;

/**
 * What a key may have of an endpoint, what it has now, and what it has used. Never changed: any thread may read it.
 */
typedef struct unsandbox_usage unsandbox_usage;

/**
 * A file that a run gave back. Belongs to its result: borrowed until that is freed. Fields are only
 * ever appended: never copy it, never ask for its size.
 */
typedef struct unsandbox_artifact {
    /**
     * As the program or the server named it: it may hold "/" or "..", so never write to it.
     */
    const char *filename;
    size_t filename_len;
    /**
     * The name reduced to one safe component, to write the file under.
     */
    const char *safe_filename;
    size_t safe_filename_len;
    /**
     * "binary", "wasm", "file", or another server's word.
     */
    const char *kind;
    size_t kind_len;
    /**
     * Any bytes; never NULL.
     */
    const uint8_t *content;
    size_t content_len;
    /**
     * Optional: a link in place of content, where a server only gave that.
     */
    const char *url;
    size_t url_len;
} unsandbox_artifact;

/**
 * What one execution gave. Made by the library and never changed: any thread may read it. Owned by
 * the caller, free with unsandbox_result_free. unsandbox_result_… has a function for every field; the
 * struct has the fields of version 0.1, and gets no others. Never copy it, never ask for its size.
 * Text is UTF-8 with a NUL behind it that the length does not count; optional text is NULL where there
 * is none.
 */
typedef struct unsandbox_result {
    /**
     * 1 where the program ended by itself with exit code 0.
     */
    uint8_t success;
    /**
     * 1 where a stream reached its limit and the rest of it is gone.
     */
    uint8_t truncated;
    uint8_t has_exit_code;
    uint8_t has_signal;
    uint8_t has_total_time_ms;
    /**
     * 1 where cpu_time_ms and peak_memory_bytes are known.
     */
    uint8_t has_usage;
    /**
     * UNSANDBOX_STATUS_…
     */
    int32_t status;
    /**
     * 124 past the ttl, 128 + n for signal n, -1 when cancelled.
     */
    int32_t exit_code;
    int32_t signal;
    /**
     * UNSANDBOX_LIMIT_…: the limit that ended the program.
     */
    int32_t limit;
    /**
     * Bytes, which may hold NUL; never NULL.
     */
    const char *stdout_data;
    size_t stdout_len;
    /**
     * Bytes, which may hold NUL; never NULL.
     */
    const char *stderr_data;
    size_t stderr_len;
    /**
     * The status as a word.
     */
    const char *status_text;
    size_t status_text_len;
    /**
     * Optional: why it did not succeed, or what could not be collected.
     */
    const char *error;
    size_t error_len;
    /**
     * Optional.
     */
    const char *language;
    size_t language_len;
    /**
     * Optional: only from run.
     */
    const char *detected_language;
    size_t detected_language_len;
    /**
     * Optional.
     */
    const char *job_id;
    size_t job_id_len;
    /**
     * Optional: "cold" or "pooled".
     */
    const char *execution_mode;
    size_t execution_mode_len;
    /**
     * Optional: "zerotrust" or "semitrusted".
     */
    const char *network_mode;
    size_t network_mode_len;
    /**
     * Queue, compiler and program together.
     */
    uint64_t total_time_ms;
    uint64_t cpu_time_ms;
    uint64_t peak_memory_bytes;
    /**
     * artifact_count pointers; borrowed until the result is freed.
     */
    const unsandbox_artifact *const *artifacts;
    size_t artifact_count;
    /**
     * Optional: "full" or "reduced".
     */
    const char *isolation_level;
    size_t isolation_level_len;
    /**
     * NUL-terminated names of the layers of the jail that the program ran in.
     */
    const char *const *isolation_layers;
    size_t isolation_layer_count;
    /**
     * NUL-terminated names of the layers that the machine could not give.
     */
    const char *const *isolation_missing;
    size_t isolation_missing_count;
} unsandbox_result;

/**
 * An execution that was submitted, as it was when asked about. Made by the library and never
 * changed: any thread may read it. Owned by the caller, free with unsandbox_job_free. Fields are
 * only ever appended: never copy it, never ask for its size. Times are Unix seconds.
 */
typedef struct unsandbox_job {
    uint8_t has_created_at;
    uint8_t has_started_at;
    uint8_t has_completed_at;
    /**
     * UNSANDBOX_STATUS_…
     */
    int32_t status;
    /**
     * Never NULL.
     */
    const char *job_id;
    size_t job_id_len;
    /**
     * The status as a word.
     */
    const char *status_text;
    size_t status_text_len;
    /**
     * Optional.
     */
    const char *language;
    size_t language_len;
    /**
     * Optional: only from run_async.
     */
    const char *detected_language;
    size_t detected_language_len;
    /**
     * Optional.
     */
    const char *network_mode;
    size_t network_mode_len;
    int64_t created_at;
    int64_t started_at;
    int64_t completed_at;
    /**
     * NULL until the job is over; borrowed until the job is freed.
     */
    const unsandbox_result *result;
} unsandbox_job;

/**
 * Called with output as the program writes it, in order within a stream, from a thread of the
 * library, without locks held. Must not block for long: the program waits.
 *
 * `stream` is UNSANDBOX_STREAM_…; `data` is any bytes, borrowed for the call.
 */
typedef void (*unsandbox_output_fn)(void *user_data,
                                    int32_t stream,
                                    const uint8_t *data,
                                    size_t data_len);

/**
 * Frees the user_data of a callback.
 */
typedef void (*unsandbox_free_fn)(void *user_data);

/**
 * Called for more standard input: writes at most `capacity` bytes to `data` and returns how many; 0
 * at the end of the input, negative for an error. Called from a thread of the library; may block.
 */
typedef int64_t (*unsandbox_read_fn)(void *user_data, uint8_t *data, size_t capacity);

/**
 * Says "look now", from a thread of the library, without locks held, once. Nothing travels through
 * it, so a function such as uv_async_send or a shim of sem_post fits as it is.
 */
typedef void (*unsandbox_notify_fn)(void *user_data);

/**
 * Called with each message, from any thread, without locks held.
 */
typedef void (*unsandbox_log_fn)(void *user_data,
                                 int32_t level,
                                 const char *message,
                                 size_t message_len);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* Numbers and their words */

/**
 * The word for what an operation returned: "OK", "PENDING", "ARGUMENT", …; "UNKNOWN" for a number
 * that this version does not know.
 *
 * @return NUL-terminated and never freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_code_name(int32_t code);

/* Version */

/**
 * The version of the loaded library, such as "0.1.0". The header's is UNSANDBOX_VERSION.
 *
 * @return NUL-terminated and never freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_version(void);

/**
 * The ABI of the loaded library: goes up with every addition. The header's is
 * UNSANDBOX_ABI_VERSION; a library with a smaller number lacks functions of this header.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_abi_version(void);

/* Errors */

/**
 * The same number that the operation returned (UNSANDBOX_ERR_…); 0 for NULL.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_error_code(const unsandbox_error *error);

/**
 * The code as a word, such as "RATE_LIMITED"; "" for NULL.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return NUL-terminated, borrowed until the error is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_error_name(const unsandbox_error *error, size_t *len);

/**
 * One sentence that names the thing, the value and the limit, and what lay underneath, as in "… could not be
 * reached: connection refused"; "" for NULL. Keys never appear in it, and control characters are escaped: the
 * words may be a server's.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the error is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_error_message(const unsandbox_error *error,
                                    size_t *len);

/**
 * The HTTP status of the reply, or 0 where there was none.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_error_http_status(const unsandbox_error *error);

/**
 * The server's own words: the body of its reply, at most 64 KiB of it. NULL where there was none.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the error is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_error_body(const unsandbox_error *error, size_t *len);

/**
 * Milliseconds after which the call may be tried again, or -1 where nobody said.
 *
 * @since 0.1
 */
UNSANDBOX_API int64_t unsandbox_error_retry_after_ms(const unsandbox_error *error);

/**
 * 1 where the program may have run although no result came back, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_error_may_have_run(const unsandbox_error *error);

/**
 * What lay underneath alone, which ends the message: text from the nearest cause outwards. NULL where nothing
 * did.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the error is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_error_cause(const unsandbox_error *error,
                                  size_t *len);

/**
 * The job that the error is about, so that its result can still be asked for. NULL where it is about
 * none.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the error is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_error_job_id(const unsandbox_error *error,
                                   size_t *len);

/**
 * What to do about it, where the message does not say. NULL where there is no advice.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the error is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_error_hint(const unsandbox_error *error, size_t *len);

/**
 * Frees an error; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_error_free(unsandbox_error *error);

/* Configuration of a client */

/**
 * Makes an empty configuration.
 *
 * @param config  receives a configuration owned by the caller; free with unsandbox_config_free. Required.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_config_new(unsandbox_config **config,
                             unsandbox_error **err);

/**
 * Sets where programs run: "local:", "http://HOST:PORT", "https://HOST" or "unix:/PATH". Else
 * UNSANDBOX_URL, else the service where a key is configured, else "local:".
 *
 * @param url     copied.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_base_url(unsandbox_config *config,
                                      const char *url,
                                      size_t url_len,
                                      unsandbox_error **err);

/**
 * Sets one key, sent as a bearer. Else UNSANDBOX_API_KEY.
 *
 * @param key     copied.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_api_key(unsandbox_config *config,
                                     const char *key,
                                     size_t key_len,
                                     unsandbox_error **err);

/**
 * Sets a public and a secret key: requests are signed, and the secret is never sent. Else
 * UNSANDBOX_PUBLIC_KEY and UNSANDBOX_SECRET_KEY.
 *
 * @param public_key  copied.
 * @param secret_key  copied.
 * @param err         receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_key_pair(unsandbox_config *config,
                                      const char *public_key,
                                      size_t public_key_len,
                                      const char *secret_key,
                                      size_t secret_key_len,
                                      unsandbox_error **err);

/**
 * Chooses a row, from 0, of the accounts file; keys in the environment do not count then.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_account(unsandbox_config *config,
                                     uint32_t row,
                                     unsandbox_error **err);

/**
 * Sets the accounts file. Else ~/.unsandbox/accounts.csv.
 *
 * @param path    copied.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_accounts_file(unsandbox_config *config,
                                           const char *path,
                                           size_t path_len,
                                           unsandbox_error **err);

/**
 * Sets a PEM file with certificates to trust in place of the built-in ones.
 *
 * @param path    copied.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_ca_file(unsandbox_config *config,
                                     const char *path,
                                     size_t path_len,
                                     unsandbox_error **err);

/**
 * Sets the proxy on the way to a server: "http://[USER:PASSWORD@]HOST:PORT" or "socks5://…"; "" for none,
 * whatever the environment says. Else https_proxy, http_proxy or all_proxy, unless no_proxy names the
 * server or it is this machine.
 *
 * @param url  copied.
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_proxy(unsandbox_config *config,
                                   const char *url,
                                   size_t url_len,
                                   unsandbox_error **err);

/**
 * Allows (not 0) a key over plain http to another machine, where it can be read on the way.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_allow_plain_http_key(unsandbox_config *config,
                                                  int32_t yes,
                                                  unsandbox_error **err);

/**
 * Sets how long a whole call may take, in milliseconds, at least 1. Else 30 s for a question, and for
 * an execution its ttl with time for queue and compiler.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_timeout_ms(unsandbox_config *config,
                                        uint64_t timeout_ms,
                                        unsandbox_error **err);

/**
 * Sets how long connecting to a server may take, with TLS, in milliseconds, at least 1. Else 15 s.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_connect_timeout_ms(unsandbox_config *config,
                                                uint64_t timeout_ms,
                                                unsandbox_error **err);

/**
 * Sets how long looking up a server's name may take, in milliseconds, at least 1. Else 10 s.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_resolve_timeout_ms(unsandbox_config *config,
                                                uint64_t timeout_ms,
                                                unsandbox_error **err);

/**
 * Sets how long sending a request may take, in milliseconds, at least 1. Else as long as the call.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_send_timeout_ms(unsandbox_config *config,
                                             uint64_t timeout_ms,
                                             unsandbox_error **err);

/**
 * Sets how long a server may take to begin its reply, in milliseconds, at least 1; it begins an
 * execution's when that has ended. Else as long as the call.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_first_byte_timeout_ms(unsandbox_config *config,
                                                   uint64_t timeout_ms,
                                                   unsandbox_error **err);

/**
 * Sets how long each read of a reply may take once it has begun, in milliseconds, at least 1. Else as
 * long as the call.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_read_timeout_ms(unsandbox_config *config,
                                             uint64_t timeout_ms,
                                             unsandbox_error **err);

/**
 * Sets for which programs an execution is submitted as a job and polled, so that no connection has to
 * idle that long: those whose ttl is longer than so many seconds. Else 120.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_job_threshold(unsandbox_config *config,
                                           uint32_t ttl,
                                           unsandbox_error **err);

/**
 * Submits (not 0) every execution as a job, so that a call that is cancelled or past its deadline ends
 * its program at any server. Our own server ends it without.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_cancel_jobs(unsandbox_config *config,
                                         int32_t yes,
                                         unsandbox_error **err);

/**
 * Sets how often a call is repeated where that is safe; 0 for never. Else 3 times.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_retries(unsandbox_config *config,
                                     uint32_t count,
                                     unsandbox_error **err);

/**
 * Sets how many bytes of a reply are read; a larger one is UNSANDBOX_ERR_TOO_LARGE. Else 86 MB.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_reply_max_bytes(unsandbox_config *config,
                                             size_t bytes,
                                             unsandbox_error **err);

/**
 * Sets the name that the client gives itself to a server.
 *
 * @param name    copied.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_user_agent(unsandbox_config *config,
                                        const char *name,
                                        size_t name_len,
                                        unsandbox_error **err);

/**
 * Sets which isolation the local engine accepts: "auto" (the best that the machine gives, and the
 * default), "full" (or UNSANDBOX_ERR_ISOLATION_UNAVAILABLE) or "reduced".
 *
 * @param policy  copied.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_isolation(unsandbox_config *config,
                                       const char *policy,
                                       size_t policy_len,
                                       unsandbox_error **err);

/**
 * Sets how many executions the local engine runs at once; 0, the default, for twice the cores.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_concurrency(unsandbox_config *config,
                                         uint32_t count,
                                         unsandbox_error **err);

/**
 * Sets how many executions may wait for their turn on the local engine. Else 1,000.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_set_queue_max(unsandbox_config *config,
                                       uint32_t count,
                                       unsandbox_error **err);

/**
 * Adds a host that "semitrusted" programs on the local engine may reach: an exact name or address, or
 * "*.SUFFIX". Without any they reach every host of the public Internet. For "local:" alone: a server
 * decides that itself.
 *
 * @param host  copied.
 * @param err   receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_config_add_egress_host(unsandbox_config *config,
                                         const char *host,
                                         size_t host_len,
                                         unsandbox_error **err);

/**
 * Frees a configuration; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_config_free(unsandbox_config *config);

/* Clients */

/**
 * Makes a client from a configuration; what that leaves open comes from the environment. Nothing is
 * connected or started yet.
 *
 * @param config  borrowed for the call; NULL is an empty configuration.
 * @param client  receives a client owned by the caller; free with unsandbox_client_free. Required.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_CONFIG or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_new(const unsandbox_config *config,
                             unsandbox_client **client,
                             unsandbox_error **err);

/**
 * Makes a client from the environment alone: UNSANDBOX_URL, else https://api.unsandbox.com where a
 * key is configured, else this machine ("local:").
 *
 * @param client  receives a client owned by the caller; free with unsandbox_client_free. Required.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_CONFIG or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_from_env(unsandbox_client **client,
                                  unsandbox_error **err);

/**
 * Where the client's programs run: "local:", or a URL.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the client is freed; "" for NULL.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_client_endpoint(const unsandbox_client *client,
                                      size_t *len);

/**
 * 1 where the programs run on this machine, else 0; 0 for NULL.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_client_is_local(const unsandbox_client *client);

/**
 * Ends what runs, and with it every sandbox of a local client; later operations fail. NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_client_close(const unsandbox_client *client);

/**
 * Frees a client; NULL is fine. Tasks keep what they need of it; the last user ends the sandboxes.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_client_free(unsandbox_client *client);

/**
 * Runs a program whose language the request names, and waits for the result.
 *
 * Blocks for queue, compiler and at most the request's ttl, or until the options' timeout.
 *
 * @param client   shared; may be used by several threads.
 * @param request  borrowed for the call.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param result   receives a result owned by the caller; free with unsandbox_result_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, also where the program failed: that is a result. UNSANDBOX_ERR_ARGUMENT, _CONNECT,
 *         _TIMEOUT, _CANCELLED, _AUTH, _RATE_LIMITED, _LANGUAGE_UNAVAILABLE, _ISOLATION_UNAVAILABLE, _API
 *         or _SERVER.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_execute(const unsandbox_client *client,
                                 const unsandbox_request *request,
                                 const unsandbox_options *options,
                                 unsandbox_result **result,
                                 unsandbox_error **err);

/**
 * Runs a program whose language is detected from its text, and waits for the result; a language that
 * the request names is not looked at.
 *
 * Blocks for queue, compiler and at most the request's ttl, or until the options' timeout.
 *
 * @param client   shared; may be used by several threads.
 * @param request  borrowed for the call.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param result   receives a result owned by the caller; free with unsandbox_result_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, also where the program failed: that is a result. UNSANDBOX_ERR_ARGUMENT, _CONNECT,
 *         _TIMEOUT, _CANCELLED, _AUTH, _RATE_LIMITED, _LANGUAGE_UNAVAILABLE, _ISOLATION_UNAVAILABLE, _API
 *         or _SERVER.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_run(const unsandbox_client *client,
                             const unsandbox_request *request,
                             const unsandbox_options *options,
                             unsandbox_result **result,
                             unsandbox_error **err);

/**
 * Submits a program whose language the request names, and returns at once.
 *
 * The job goes on without its caller; its id is all that is needed to come back for it.
 *
 * @param client   shared; may be used by several threads.
 * @param request  borrowed for the call.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param job      receives a job owned by the caller; free with unsandbox_job_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT, _CONNECT,
 *         _TIMEOUT, _CANCELLED, _AUTH, _RATE_LIMITED, _LANGUAGE_UNAVAILABLE, _ISOLATION_UNAVAILABLE, _API
 *         or _SERVER.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_execute_async(const unsandbox_client *client,
                                       const unsandbox_request *request,
                                       const unsandbox_options *options,
                                       unsandbox_job **job,
                                       unsandbox_error **err);

/**
 * Submits a program whose language is detected from its text, and returns at once.
 *
 * @param client   shared; may be used by several threads.
 * @param request  borrowed for the call.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param job      receives a job owned by the caller; free with unsandbox_job_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, or as for unsandbox_client_execute_async.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_run_async(const unsandbox_client *client,
                                   const unsandbox_request *request,
                                   const unsandbox_options *options,
                                   unsandbox_job **job,
                                   unsandbox_error **err);

/**
 * Asks how a job is.
 *
 * @param client   shared; may be used by several threads.
 * @param job_id   borrowed for the call.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param job      receives a job owned by the caller; free with unsandbox_job_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_NOT_FOUND for a job that does not exist for this key, _JOB_LOST for
 *         one of which the server had told this client and which it has forgotten, _CONNECT, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_get_job(const unsandbox_client *client,
                                 const char *job_id,
                                 size_t job_id_len,
                                 const unsandbox_options *options,
                                 unsandbox_job **job,
                                 unsandbox_error **err);

/**
 * Waits for the end of a job and gives its result. The options' timeout bounds the wait: past it the
 * call returns UNSANDBOX_ERR_TIMEOUT, and the job goes on. Their function for output is given that of
 * the job, from its begin.
 *
 * @param client   shared; may be used by several threads.
 * @param job_id   borrowed for the call.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param result   receives a result owned by the caller; free with unsandbox_result_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_NOT_FOUND, _JOB_LOST, _TIMEOUT, _CANCELLED, _CONNECT, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_wait_job(const unsandbox_client *client,
                                  const char *job_id,
                                  size_t job_id_len,
                                  const unsandbox_options *options,
                                  unsandbox_result **result,
                                  unsandbox_error **err);

/**
 * Cancels a job and gives what it had written by then; a job that is over is given as it is.
 *
 * @param client   shared; may be used by several threads.
 * @param job_id   borrowed for the call.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param result   receives a result owned by the caller; free with unsandbox_result_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_NOT_FOUND, _JOB_LOST, _CONNECT, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_cancel_job(const unsandbox_client *client,
                                    const char *job_id,
                                    size_t job_id_len,
                                    const unsandbox_options *options,
                                    unsandbox_result **result,
                                    unsandbox_error **err);

/**
 * Deletes a job that has ended, with its result, its artifacts and its idempotency key: it is not found from
 * then on. One that waits or runs is refused; unsandbox_client_cancel_job ends it.
 *
 * @param client   shared; may be used by several threads.
 * @param job_id   borrowed for the call.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_CONFLICT for a job that has not ended, _NOT_FOUND, _ARGUMENT at an endpoint
 *         that deletes no jobs, as the service, _CONNECT, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_delete_job(const unsandbox_client *client,
                                    const char *job_id,
                                    size_t job_id_len,
                                    const unsandbox_options *options,
                                    unsandbox_error **err);

/**
 * Lists the jobs of this key that are pending or running.
 *
 * @param client   shared; may be used by several threads.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param jobs     receives a list owned by the caller; free with unsandbox_job_list_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_CONNECT, _AUTH, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_list_jobs(const unsandbox_client *client,
                                   const unsandbox_options *options,
                                   unsandbox_job_list **jobs,
                                   unsandbox_error **err);

/**
 * Lists a part of the jobs of this key that are pending or running, in the order of their submissions.
 * unsandbox_job_list_has_more says whether the list goes on behind it.
 *
 * @param client   shared; may be used by several threads.
 * @param limit    the most jobs, 1 to 1000; 0 for as many as there are.
 * @param after    id of a job, as the last one of the part before: only jobs behind it. It may have ended since
 *                 (but not at the service). NULL or empty from the beginning. Borrowed for the call.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param jobs     receives a list owned by the caller; free with unsandbox_job_list_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT for a larger limit, and for after where it is not a job of this key
 *         any more, _CONNECT, _AUTH, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_list_jobs_page(const unsandbox_client *client,
                                        uint32_t limit,
                                        const char *after,
                                        size_t after_len,
                                        const unsandbox_options *options,
                                        unsandbox_job_list **jobs,
                                        unsandbox_error **err);

/**
 * Lists the languages that the endpoint offers.
 *
 * @param client   shared; may be used by several threads.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param languages receives a list owned by the caller; free with unsandbox_language_list_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_CONNECT, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_languages(const unsandbox_client *client,
                                   const unsandbox_options *options,
                                   unsandbox_language_list **languages,
                                   unsandbox_error **err);

/**
 * Asks whether the configured key is good. A key that is not is an answer and no error.
 *
 * @param client   shared; may be used by several threads.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param key      receives an object owned by the caller; free with unsandbox_key_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_CONNECT, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_validate_key(const unsandbox_client *client,
                                      const unsandbox_options *options,
                                      unsandbox_key **key,
                                      unsandbox_error **err);

/**
 * Asks what the key may have of the endpoint, what it has now, and what it has used since the server started. At "local:"
 * it is what the engine of this client has run; requests are not counted there, and every language, limit and network
 * mode may be asked for.
 *
 * @param client   shared; may be used by several threads.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param usage    receives an object owned by the caller; free with unsandbox_usage_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT at an endpoint that does not tell it, as the service, _CONNECT, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_usage(const unsandbox_client *client,
                               const unsandbox_options *options,
                               unsandbox_usage **usage,
                               unsandbox_error **err);

/**
 * Asks whether the endpoint takes executions. A server that says itself that it takes none, as one that
 * stops does, is an answer and no error.
 *
 * @param client   shared; may be used by several threads.
 * @param options  borrowed for the call; NULL for the defaults.
 * @param health   receives an object owned by the caller; free with unsandbox_health_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_CONNECT, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_health(const unsandbox_client *client,
                                const unsandbox_options *options,
                                unsandbox_health **health,
                                unsandbox_error **err);

/**
 * Asks which isolation layers this machine gives. Runs nothing of the user's.
 *
 * @param client  shared; may be used by several threads.
 * @param probe   receives an object owned by the caller; free with unsandbox_probe_free. Required.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT for a client of another endpoint than "local:".
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_probe(const unsandbox_client *client,
                               unsandbox_probe **probe,
                               unsandbox_error **err);

/* Requests */

/**
 * Makes a request whose language is known, for unsandbox_client_execute and _execute_async.
 *
 * @param language  name or alias, such as "python" or "js"; copied.
 * @param code      the program, UTF-8; copied. May hold NUL where the language allows it.
 * @param request   receives a request owned by the caller; free with unsandbox_request_free. Required.
 * @param err       receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_request_new(const char *language,
                              size_t language_len,
                              const char *code,
                              size_t code_len,
                              unsandbox_request **request,
                              unsandbox_error **err);

/**
 * Makes a request whose language is detected (a fence of back-quotes, shebang, else content), for unsandbox_client_run and
 * _run_async.
 *
 * @param code     the program, UTF-8; copied.
 * @param request  receives a request owned by the caller; free with unsandbox_request_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_request_new_detect(const char *code,
                                     size_t code_len,
                                     unsandbox_request **request,
                                     unsandbox_error **err);

/**
 * Adds a variable to the program's environment, which otherwise has nothing of this process's.
 *
 * @param name   not empty, without "=" and NUL; copied.
 * @param value  without NUL; copied.
 * @param err    receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT. What a limit forbids is refused when the request
 *         is used.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_add_env(unsandbox_request *request,
                                  const char *name,
                                  size_t name_len,
                                  const char *value,
                                  size_t value_len,
                                  unsandbox_error **err);

/**
 * Sets how much network the program has: "zerotrust" (none; the default) or "semitrusted".
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_set_network_mode(unsandbox_request *request,
                                           const char *network_mode,
                                           size_t network_mode_len,
                                           unsandbox_error **err);

/**
 * Sets how long the program may run: 1 to 900 seconds (limit from the API), 60 unless set. Queue and
 * compiler are not counted.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_set_ttl(unsandbox_request *request,
                                  int64_t ttl_seconds,
                                  unsandbox_error **err);

/**
 * Asks for the compiled program among the artifacts (not 0) or not (0, the default).
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_set_return_artifact(unsandbox_request *request,
                                              int32_t yes,
                                              unsandbox_error **err);

/**
 * Asks for the program compiled to WebAssembly among the artifacts (not 0) or not (0, the default).
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_set_return_wasm_artifact(unsandbox_request *request,
                                                   int32_t yes,
                                                   unsandbox_error **err);

/**
 * Adds a file to the working directory of the program. Limits from the API: 10 files, 5 MB each,
 * 10 MB together, names of at most 256 characters without "/" and "..".
 *
 * @param filename  copied; NULL with length 0 calls the file by its index, "0", "1", ….
 * @param content   any bytes; copied.
 * @param err       receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_add_input_file(unsandbox_request *request,
                                         const char *filename,
                                         size_t filename_len,
                                         const uint8_t *content,
                                         size_t content_len,
                                         unsandbox_error **err);

/**
 * Adds a file by its path in the working directory, as "pkg/util.py"; missing folders are made. At most 1,000 files,
 * 64 MB together, and 1,024 bytes of a path. For the local engine and servers of your own; the service does not know
 * it and refuses it.
 *
 * @param path     relative, without "." and ".." as parts; copied.
 * @param content  any bytes; copied.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_add_file(unsandbox_request *request,
                                   const char *path,
                                   size_t path_len,
                                   const uint8_t *content,
                                   size_t content_len,
                                   unsandbox_error **err);

/**
 * Sets the program's standard input; without it the program reads end of file at once.
 *
 * @param data  any bytes; copied.
 * @param err   receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_set_stdin(unsandbox_request *request,
                                    const uint8_t *data,
                                    size_t data_len,
                                    unsandbox_error **err);

/**
 * Adds an argument of the program.
 *
 * @param arg  without NUL; copied.
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_add_arg(unsandbox_request *request,
                                  const char *arg,
                                  size_t arg_len,
                                  unsandbox_error **err);

/**
 * Adds a flag of the compiler, such as "-O2"; docs/languages.md has the flags that each language takes. For the local
 * engine and servers of your own; the service does not know it and refuses it.
 *
 * @param flag  without NUL; copied.
 * @param err   receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT. A flag that the language does not take is refused when the request
 *         is used.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_add_flag(unsandbox_request *request,
                                   const char *flag,
                                   size_t flag_len,
                                   unsandbox_error **err);

/**
 * Asks for files that the program makes or changes in the working directory, by a pattern such as "*.png", or by a
 * folder such as "out"; they come back as artifacts. docs/guides/artifacts.md has the rules of patterns. For the local
 * engine and servers of your own; the service does not know it and refuses it.
 *
 * @param pattern  relative to the working directory; copied.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT. A pattern that leaves the working directory is refused when the
 *         request is used.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_add_output(unsandbox_request *request,
                                     const char *pattern,
                                     size_t pattern_len,
                                     unsandbox_error **err);

/**
 * Sets a limit of the run by its name, such as "memory_bytes"; docs/limits.md has the table of names, defaults and
 * bounds.
 *
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT for an unknown name. A value outside the limit's
 *         range is refused when the request is used.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_set_limit(unsandbox_request *request,
                                    const char *name,
                                    size_t name_len,
                                    uint64_t value,
                                    unsandbox_error **err);

/**
 * Sets whether the program may run again if the server ends while it runs, for jobs of a server that keeps them on
 * disk: "never" (the default: the job is then failed, and its program may have run) or "if_lost". The service does not
 * know it and refuses it.
 *
 * @param rerun  "never" or "if_lost"; copied.
 * @param err    receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT for another word.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_set_rerun(unsandbox_request *request,
                                    const char *rerun,
                                    size_t rerun_len,
                                    unsandbox_error **err);

/**
 * Sets the URL to which the server posts that the job has ended, for jobs of a server of your own with webhooks
 * (`unsandbox serve --webhooks`). Other servers, the local engine and calls that wait for the result refuse it.
 *
 * @param url  http: or https: without user and fragment, at most 2048 bytes; copied, checked as the job is submitted.
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_set_callback_url(unsandbox_request *request,
                                           const char *url,
                                           size_t url_len,
                                           unsandbox_error **err);

/**
 * Chooses the interpreter or compiler by its path; only for the local engine.
 *
 * @param path  copied.
 * @param err   receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_request_set_runtime(unsandbox_request *request,
                                      const char *path,
                                      size_t path_len,
                                      unsandbox_error **err);

/**
 * Frees a request; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_request_free(unsandbox_request *request);

/* Options of one call (deadline, cancelling, streams) */

/**
 * Makes a token that ends the calls it is given to.
 *
 * @param token  receives a token owned by the caller; free with unsandbox_cancel_token_free. Required.
 * @param err    receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_cancel_token_new(unsandbox_cancel_token **token,
                                   unsandbox_error **err);

/**
 * Ends every call that has the token, now or later: they return UNSANDBOX_ERR_CANCELLED, and what ran
 * for them is stopped. Returns at once; may be called from any thread, but not from a signal handler.
 * NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API
void unsandbox_cancel_token_cancel(const unsandbox_cancel_token *token);

/**
 * 1 once the token was cancelled, else 0; 0 for NULL.
 *
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_cancel_token_is_cancelled(const unsandbox_cancel_token *token);

/**
 * Frees a token; NULL is fine. Calls that have it keep what they need of it.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_cancel_token_free(unsandbox_cancel_token *token);

/**
 * Makes options with the defaults.
 *
 * @param options  receives options owned by the caller; free with unsandbox_options_free. Required.
 * @param err      receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_options_new(unsandbox_options **options,
                              unsandbox_error **err);

/**
 * Sets how long a call may take in all, in milliseconds, after which it returns
 * UNSANDBOX_ERR_TIMEOUT. Without it a call waits for queue, compiler and ttl, and a margin.
 *
 * @param timeout_ms  at least 1.
 * @param err         receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_options_set_timeout_ms(unsandbox_options *options,
                                         uint64_t timeout_ms,
                                         unsandbox_error **err);

/**
 * Gives calls a token that ends them.
 *
 * @param token  shared; may be freed before the options.
 * @param err    receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_options_set_cancel_token(unsandbox_options *options,
                                           const unsandbox_cancel_token *token,
                                           unsandbox_error **err);

/**
 * Gives calls a function for output as it comes. The result has the whole output as well. The service
 * gives all of it at the end.
 *
 * @param call       NULL ends it.
 * @param user_data  given to every call.
 * @param free_data  called with user_data when the last call has no more use for it; may be NULL.
 * @param err        receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT; user_data is freed then too.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_options_set_output(unsandbox_options *options,
                                     unsandbox_output_fn call,
                                     void *user_data,
                                     unsandbox_free_fn free_data,
                                     unsandbox_error **err);

/**
 * Gives the next call that runs a program a function that its standard input is read from, in
 * place of the request's. The local engine reads as the program does; for a server it is read to
 * its end first.
 *
 * @param call       NULL takes it back.
 * @param user_data  given to every call.
 * @param free_data  called with user_data when the library has no more use for it; may be NULL.
 * @param err        receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT; user_data is freed then too.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_options_set_stdin(unsandbox_options *options,
                                    unsandbox_read_fn call,
                                    void *user_data,
                                    unsandbox_free_fn free_data,
                                    unsandbox_error **err);

/**
 * Frees options; NULL is fine. Calls that run keep what they took.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_options_free(unsandbox_options *options);

/* Artifacts */

/**
 * The name as the program or the server gave it; it may hold "/" or "..", so never write to it.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until its result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_artifact_filename(const unsandbox_artifact *artifact,
                                        size_t *len);

/**
 * The name reduced to one safe component, to write the file under. It never begins with "." or "-".
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until its result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_artifact_safe_filename(const unsandbox_artifact *artifact,
                                             size_t *len);

/**
 * "binary", "wasm", "file", or another server's word.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until its result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_artifact_kind(const unsandbox_artifact *artifact,
                                    size_t *len);

/**
 * The content: any bytes; never NULL, except for NULL.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return NUL-terminated, borrowed until its result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const uint8_t *unsandbox_artifact_content(const unsandbox_artifact *artifact,
                                          size_t *len);

/**
 * A link in place of content, where a server only gave that; else NULL.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until its result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_artifact_url(const unsandbox_artifact *artifact,
                                   size_t *len);

/**
 * Writes the artifact into a directory, in the folders that its name has. No two artifacts of a result
 * take one place: where two have the same name, the second gets a number, as in "plot-2.png". A plain file that was
 * there is replaced.
 *
 * @param directory  made if missing; borrowed for the call.
 * @param err        receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT where it cannot be written or is only a link.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_artifact_save(const unsandbox_artifact *artifact,
                                const char *directory,
                                size_t directory_len,
                                unsandbox_error **err);

/**
 * Writes all artifacts of a result into a directory, in the folders that their names have. No name of a
 * file or a folder begins with ".": ".git" is saved as "_git". A plain file that is there is replaced;
 * where two artifacts come to one place, the second gets a number, as in "plot-2.png"; no link is
 * followed. One that cannot be saved keeps none of the others from it. Programs choose the names: give a
 * directory that is for artifacts alone.
 *
 * @param result     borrowed for the call.
 * @param directory  made if missing; borrowed for the call.
 * @param err        receives an error owned by the caller on failure; may be NULL. Its message names
 *                   each artifact that is not saved, and why.
 * @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT where one or more are not saved; all others are.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_result_save_artifacts(const unsandbox_result *result,
                                        const char *directory,
                                        size_t directory_len,
                                        unsandbox_error **err);

/* Results, field by field */

/**
 * 1 where the program ended by itself with exit code 0, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_success(const unsandbox_result *result);

/**
 * How it ended: UNSANDBOX_STATUS_…
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_status(const unsandbox_result *result);

/**
 * The status as a word, such as "completed", also where this version does not know it.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_status_text(const unsandbox_result *result,
                                         size_t *len);

/**
 * What the program wrote to standard output: bytes, which may hold NUL; never NULL.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_stdout(const unsandbox_result *result,
                                    size_t *len);

/**
 * What the program wrote to standard error: bytes, which may hold NUL; never NULL.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_stderr(const unsandbox_result *result,
                                    size_t *len);

/**
 * 1 where the exit code is known, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_has_exit_code(const unsandbox_result *result);

/**
 * The exit code, where it is known: 124 past the ttl, 128 + n for signal n, -1 when cancelled.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_exit_code(const unsandbox_result *result);

/**
 * 1 where a signal ended the program, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_has_signal(const unsandbox_result *result);

/**
 * The number of the signal that ended the program, or 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_signal(const unsandbox_result *result);

/**
 * The limit that ended the program: UNSANDBOX_LIMIT_…
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_limit(const unsandbox_result *result);

/**
 * 1 where a stream reached its limit and the rest of it is gone, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_truncated(const unsandbox_result *result);

/**
 * Why it did not succeed, or what could not be collected, in one sentence; NULL where nothing is to be said.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_error(const unsandbox_result *result,
                                   size_t *len);

/**
 * The language that ran; NULL where the server did not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_language(const unsandbox_result *result,
                                      size_t *len);

/**
 * The language that was detected; NULL unless it was asked for by run.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_detected_language(const unsandbox_result *result,
                                               size_t *len);

/**
 * The id of the job; NULL where the server did not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_job_id(const unsandbox_result *result,
                                    size_t *len);

/**
 * "cold" or "pooled"; NULL where the server did not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_execution_mode(const unsandbox_result *result,
                                            size_t *len);

/**
 * "zerotrust" or "semitrusted"; NULL where the server did not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_network_mode(const unsandbox_result *result,
                                          size_t *len);

/**
 * Path of the interpreter or compiler that was chosen; NULL where the server did not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_runtime(const unsandbox_result *result,
                                     size_t *len);

/**
 * 1 where the total time is known, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_has_total_time_ms(const unsandbox_result *result);

/**
 * Milliseconds for queue, compiler and program together, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_result_total_time_ms(const unsandbox_result *result);

/**
 * 1 where processor time and memory of the program are known, else 0; 0 also where it was not started.
 *
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_result_has_usage(const unsandbox_result *result);

/**
 * Milliseconds of processor time of the program, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_result_cpu_time_ms(const unsandbox_result *result);

/**
 * Largest memory of the program in bytes, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_result_peak_memory_bytes(const unsandbox_result *result);

/**
 * Milliseconds from the start of the program to its end, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_result_wall_time_ms(const unsandbox_result *result);

/**
 * 1 where a compiler has run and its time and memory are known, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_result_has_compile(const unsandbox_result *result);

/**
 * Milliseconds of processor time of the compiler, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_result_compile_cpu_time_ms(const unsandbox_result *result);

/**
 * Largest memory of the compiler in bytes, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API
uint64_t unsandbox_result_compile_peak_memory_bytes(const unsandbox_result *result);

/**
 * Milliseconds from the start of the compiler to its end, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_result_compile_wall_time_ms(const unsandbox_result *result);

/**
 * How many files the run gave back.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_result_artifact_count(const unsandbox_result *result);

/**
 * One file that the run gave back; NULL past the last.
 *
 * @return borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const unsandbox_artifact *unsandbox_result_artifact(const unsandbox_result *result,
                                                           size_t index);

/**
 * How many names unsandbox_result_left_file has.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_result_left_file_count(const unsandbox_result *result);

/**
 * The path of one file in the working directory that the program made or changed and that nothing asked for (see
 * unsandbox_request_add_output); NULL past the last. At most 100 are named.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_left_file(const unsandbox_result *result,
                                       size_t index,
                                       size_t *len);

/**
 * "full" or "reduced", or another server's word; NULL where it did not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_isolation_level(const unsandbox_result *result,
                                             size_t *len);

/**
 * How many names unsandbox_result_isolation_layer has.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_result_isolation_layer_count(const unsandbox_result *result);

/**
 * One layer of the jail that the program ran in; NULL past the last.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_isolation_layer(const unsandbox_result *result,
                                             size_t index,
                                             size_t *len);

/**
 * How many names unsandbox_result_isolation_missing has.
 *
 * @since 0.1
 */
UNSANDBOX_API
size_t unsandbox_result_isolation_missing_count(const unsandbox_result *result);

/**
 * One layer that this machine could not give; NULL past the last.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_result_isolation_missing(const unsandbox_result *result,
                                               size_t index,
                                               size_t *len);

/**
 * The whole result as JSON: as the server sent it, or in the same form from the local engine. Holds
 * fields that this version does not know.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the result is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_result_json(const unsandbox_result *result, size_t *len);

/**
 * Frees a result and all that was borrowed from it; NULL is fine. A result inside a job belongs to
 * the job and is not freed.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_result_free(unsandbox_result *result);

/* Lists of jobs */

/**
 * How many jobs the list has; 0 for NULL.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_job_list_count(const unsandbox_job_list *jobs);

/**
 * Whether there are jobs behind those of the list: 1 or 0. Only unsandbox_client_list_jobs_page with a limit
 * leaves jobs out; 0 for NULL.
 *
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_job_list_has_more(const unsandbox_job_list *jobs);

/**
 * One job of the list; NULL past the last.
 *
 * @return borrowed until the list is freed.
 * @since 0.1
 */
UNSANDBOX_API
const unsandbox_job *unsandbox_job_list_at(const unsandbox_job_list *jobs,
                                                  size_t index);

/**
 * Frees a list and its jobs; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_job_list_free(unsandbox_job_list *jobs);

/* Jobs, field by field */

/**
 * The id of the job; "" only for NULL.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the job is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_job_job_id(const unsandbox_job *job, size_t *len);

/**
 * Its state: UNSANDBOX_STATUS_…
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_job_status(const unsandbox_job *job);

/**
 * The state as a word, also where this version does not know it.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the job is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_job_status_text(const unsandbox_job *job, size_t *len);

/**
 * The language; NULL where the server did not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the job is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_job_language(const unsandbox_job *job, size_t *len);

/**
 * The language that was detected; NULL unless it was asked for by run.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the job is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_job_detected_language(const unsandbox_job *job,
                                            size_t *len);

/**
 * "zerotrust" or "semitrusted"; NULL where the server did not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the job is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_job_network_mode(const unsandbox_job *job, size_t *len);

/**
 * 1 where it is known when the job was made, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_job_has_created_at(const unsandbox_job *job);

/**
 * When the job was made, in Unix seconds, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API int64_t unsandbox_job_created_at(const unsandbox_job *job);

/**
 * 1 where it is known when the job was started, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_job_has_started_at(const unsandbox_job *job);

/**
 * When the job was started, in Unix seconds, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API int64_t unsandbox_job_started_at(const unsandbox_job *job);

/**
 * 1 where it is known when the job was over, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_job_has_completed_at(const unsandbox_job *job);

/**
 * When the job was over, in Unix seconds, where known.
 *
 * @since 0.1
 */
UNSANDBOX_API int64_t unsandbox_job_completed_at(const unsandbox_job *job);

/**
 * The result; NULL until the job is over.
 *
 * @return borrowed until the job is freed.
 * @since 0.1
 */
UNSANDBOX_API const unsandbox_result *unsandbox_job_result(const unsandbox_job *job);

/**
 * The whole job as JSON: as the server sent it, or in the same form from the local engine.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the job is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_job_json(const unsandbox_job *job, size_t *len);

/**
 * Frees a job and all that was borrowed from it; NULL is fine. A job inside a list belongs to the
 * list and is not freed. The execution itself goes on; unsandbox_client_cancel_job ends it.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_job_free(unsandbox_job *job);

/* Languages, keys, health and isolation */

/**
 * How many languages the list has; 0 for NULL.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_language_list_count(const unsandbox_language_list *languages);

/**
 * One language of the list; NULL past the last.
 *
 * @return borrowed until the list is freed.
 * @since 0.1
 */
UNSANDBOX_API
const unsandbox_language *unsandbox_language_list_at(const unsandbox_language_list *languages,
                                                            size_t index);

/**
 * Frees a list and its languages; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_language_list_free(unsandbox_language_list *languages);

/**
 * The name, as unsandbox_request_new takes it.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the list is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_language_name(const unsandbox_language *language,
                                    size_t *len);

/**
 * How many further names it has.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_language_alias_count(const unsandbox_language *language);

/**
 * One further name; NULL past the last.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the list is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_language_alias(const unsandbox_language *language,
                                     size_t index,
                                     size_t *len);

/**
 * 1 where it can be run, 0 where its runtime is missing, -1 where the endpoint does not say.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_language_available(const unsandbox_language *language);

/**
 * 1 where this project runs no test of it, since no registry offers its runtime; else 0, also where the
 * endpoint does not say.
 *
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_language_is_untested(const unsandbox_language *language);

/**
 * What the runtime says of its version; NULL where the endpoint does not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the list is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_language_version(const unsandbox_language *language,
                                       size_t *len);

/**
 * Where the runtime is; NULL where the endpoint does not say.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the list is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_language_path(const unsandbox_language *language,
                                    size_t *len);

/**
 * What to install where it is missing; NULL where it is not.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the list is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_language_install(const unsandbox_language *language,
                                       size_t *len);

/**
 * 1 where the key is valid, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_key_is_valid(const unsandbox_key *key);

/**
 * What the key is worth, in the server's words; "local" for the local engine. NULL where not said.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the key is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_key_tier(const unsandbox_key *key, size_t *len);

/**
 * Why the key is not valid; NULL where not said.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the key is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_key_reason(const unsandbox_key *key, size_t *len);

/**
 * The server's whole reply; NULL from the local engine.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the key is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_key_json(const unsandbox_key *key, size_t *len);

/**
 * Frees it; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_key_free(unsandbox_key *key);

/**
 * 1 where the endpoint takes executions, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_health_is_healthy(const unsandbox_health *health);

/**
 * "ok", or the server's own word.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the health is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_health_status(const unsandbox_health *health,
                                    size_t *len);

/**
 * The server's whole reply; NULL from the local engine.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the health is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_health_json(const unsandbox_health *health, size_t *len);

/**
 * Frees it; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_health_free(unsandbox_health *health);

/**
 * The best level available, "full" or "reduced"; NULL where execution would be refused.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the probe is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_probe_level(const unsandbox_probe *probe, size_t *len);

/**
 * How many layers there are to tell of.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_probe_layer_count(const unsandbox_probe *probe);

/**
 * The name of a layer; NULL past the last.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the probe is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_probe_layer_name(const unsandbox_probe *probe,
                                       size_t index,
                                       size_t *len);

/**
 * 1 where the layer is available here, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_probe_layer_is_available(const unsandbox_probe *probe,
                                           size_t index);

/**
 * What the layer is made of here, or why it is missing; NULL past the last.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the probe is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_probe_layer_detail(const unsandbox_probe *probe,
                                         size_t index,
                                         size_t *len);

/**
 * How to get the layer, "" where it is there; NULL past the last.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the probe is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_probe_layer_fix(const unsandbox_probe *probe,
                                      size_t index,
                                      size_t *len);

/**
 * Frees it; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_probe_free(unsandbox_probe *probe);

/* Usage of a key */

/**
 * The short name of the key, as in the log of the server; NULL without keys.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the usage is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_usage_key(const unsandbox_usage *usage, size_t *len);

/**
 * Programs that run now.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_running(const unsandbox_usage *usage);

/**
 * Submissions that wait for their turn now.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_waiting(const unsandbox_usage *usage);

/**
 * Finished jobs that are kept now.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_kept_jobs(const unsandbox_usage *usage);

/**
 * Bytes of their results.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_kept_bytes(const unsandbox_usage *usage);

/**
 * 1 where the requests of the key are limited and counted, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_usage_has_requests_remaining(const unsandbox_usage *usage);

/**
 * Requests that may come at once now; 0 without a limit, too.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_requests_remaining(const unsandbox_usage *usage);

/**
 * When the server started, or the engine of this client was made, in Unix seconds.
 *
 * @since 0.1
 */
UNSANDBOX_API int64_t unsandbox_usage_since(const unsandbox_usage *usage);

/**
 * With how many statuses runs have ended since then.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_usage_status_count(const unsandbox_usage *usage);

/**
 * A status with which runs have ended, as unsandbox_result_status_text has it; NULL past the last.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the usage is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_usage_status(const unsandbox_usage *usage,
                                   size_t index,
                                   size_t *len);

/**
 * How many runs have ended with that status; 0 past the last.
 *
 * @since 0.1
 */
UNSANDBOX_API
uint64_t unsandbox_usage_status_runs(const unsandbox_usage *usage,
                                     size_t index);

/**
 * Processor time of the programs since then in milliseconds.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_cpu_time_ms(const unsandbox_usage *usage);

/**
 * Their time from start to end in milliseconds.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_wall_time_ms(const unsandbox_usage *usage);

/**
 * How many programs of the key may run at once.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_concurrency(const unsandbox_usage *usage);

/**
 * Of those, places that no other key gets.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_reserved(const unsandbox_usage *usage);

/**
 * How many submissions may wait for their turn.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_queue(const unsandbox_usage *usage);

/**
 * How many submissions start in one turn of the key.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_weight(const unsandbox_usage *usage);

/**
 * 1 where the requests in a minute are limited, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_usage_has_requests_per_minute(const unsandbox_usage *usage);

/**
 * Requests in a minute; 0 without a limit.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_requests_per_minute(const unsandbox_usage *usage);

/**
 * 1 where the requests that may come at once are limited, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_usage_has_burst(const unsandbox_usage *usage);

/**
 * Requests that may come at once; 0 without a limit.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_burst(const unsandbox_usage *usage);

/**
 * The largest ttl in seconds.
 *
 * @since 0.1
 */
UNSANDBOX_API int64_t unsandbox_usage_max_ttl(const unsandbox_usage *usage);

/**
 * How many limits of a run are lower for the key than in the table of limits.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_usage_max_limit_count(const unsandbox_usage *usage);

/**
 * The name of such a limit, as unsandbox_request_set_limit takes it; NULL past the last.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the usage is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_usage_max_limit_name(const unsandbox_usage *usage,
                                           size_t index,
                                           size_t *len);

/**
 * Its largest value; 0 past the last.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_usage_max_limit(const unsandbox_usage *usage, size_t index);

/**
 * "zerotrust" alone, or "semitrusted" for both network modes.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the usage is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_usage_network_mode(const unsandbox_usage *usage,
                                         size_t *len);

/**
 * 1 where the key may use only some languages, else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_usage_has_languages(const unsandbox_usage *usage);

/**
 * How many languages those are; 0 where it may use all.
 *
 * @since 0.1
 */
UNSANDBOX_API size_t unsandbox_usage_language_count(const unsandbox_usage *usage);

/**
 * The name of one of them; NULL past the last.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the usage is freed.
 * @since 0.1
 */
UNSANDBOX_API
const char *unsandbox_usage_language(const unsandbox_usage *usage,
                                     size_t index,
                                     size_t *len);

/**
 * The server's whole reply; NULL from the local engine.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return UTF-8, NUL-terminated, borrowed until the usage is freed.
 * @since 0.1
 */
UNSANDBOX_API const char *unsandbox_usage_json(const unsandbox_usage *usage, size_t *len);

/**
 * Frees it; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_usage_free(unsandbox_usage *usage);

/* Events of a job */

/**
 * Begins to read what happens to a job, and first what has happened before. The options' timeout
 * bounds the time until the last event, their token ends the reading; the job goes on.
 *
 * @param client         shared; may be used by several threads.
 * @param job_id         borrowed for the call.
 * @param stdout_offset  bytes of standard output that the caller has: output comes from there on.
 * @param stderr_offset  the same of standard error.
 * @param options        borrowed for the call; NULL for the defaults.
 * @param events         receives a reader owned by the caller; free with unsandbox_events_free.
 *                       Required.
 * @param err            receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_NOT_FOUND, _CONFLICT, … At a server a job that is not there is an
 *         error of unsandbox_events_next.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_events_new(const unsandbox_client *client,
                             const char *job_id,
                             size_t job_id_len,
                             uint64_t stdout_offset,
                             uint64_t stderr_offset,
                             const unsandbox_options *options,
                             unsandbox_events **events,
                             unsandbox_error **err);

/**
 * Waits for the next event, at most timeout_ms milliseconds; 0 only looks, a negative number waits
 * without limit.
 *
 * @param events  used by one thread at a time.
 * @param event   receives an event owned by the caller, free with unsandbox_event_free; NULL after the
 *                last one. Required.
 * @param err     receives an error owned by the caller on failure; may be NULL. No event follows it.
 * @return UNSANDBOX_OK; UNSANDBOX_PENDING, with nothing, when the time was over;
 *         UNSANDBOX_ERR_NOT_FOUND, _JOB_LOST, _TIMEOUT, _CANCELLED, …
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_events_next(unsandbox_events *events,
                              int64_t timeout_ms,
                              unsandbox_event **event,
                              unsandbox_error **err);

/**
 * Frees a reader, and ends the reading; NULL is fine. Its events stay, and the job goes on.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_events_free(unsandbox_events *events);

/**
 * Frees an event and its job; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_event_free(unsandbox_event *event);

/**
 * What happened: UNSANDBOX_EVENT_…; 0 for NULL.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_event_kind(const unsandbox_event *event);

/**
 * Of output and of a gap, the stream: UNSANDBOX_STREAM_…; else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_event_stream(const unsandbox_event *event);

/**
 * Of output and of a gap, how many bytes of the stream came before; else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_event_offset(const unsandbox_event *event);

/**
 * Of output, the bytes as written; else empty. A character may be cut in two.
 *
 * @param len  receives the length in bytes; may be NULL.
 * @return borrowed until the event is freed; NULL only for NULL.
 * @since 0.1
 */
UNSANDBOX_API const uint8_t *unsandbox_event_data(const unsandbox_event *event, size_t *len);

/**
 * Of a gap, the number of bytes that are not kept any more; else 0.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_event_missing_bytes(const unsandbox_event *event);

/**
 * The job, of UNSANDBOX_EVENT_QUEUED, _STARTED and _FINISHED; the last one has its result. Else NULL.
 *
 * @return borrowed until the event is freed.
 * @since 0.1
 */
UNSANDBOX_API
const unsandbox_job *unsandbox_event_job(const unsandbox_event *event);

/**
 * Bytes of standard output up to and with the event, from which another reader goes on.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_event_stdout_offset(const unsandbox_event *event);

/**
 * The same of standard error.
 *
 * @since 0.1
 */
UNSANDBOX_API uint64_t unsandbox_event_stderr_offset(const unsandbox_event *event);

/* Tasks, for event loops */

/**
 * Starts a program and does not wait for it: as unsandbox_client_execute where the request names a
 * language, else as unsandbox_client_run.
 *
 * On "local:" the run is prepared before this returns: milliseconds for most requests, longer for
 * large programs and files. An event loop that must not wait calls this on another thread.
 *
 * @param client     shared; may be used by several threads.
 * @param request    borrowed for the call.
 * @param options    borrowed for the call; NULL for the defaults.
 * @param notify     called once when the task is done, perhaps before this function returns; may be
 *                   NULL.
 * @param user_data  given to notify; must live until it was called.
 * @param task       receives a task owned by the caller; free with unsandbox_task_free. Required.
 * @param err        receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT, _CONFIG, … What goes wrong later comes from
 *         unsandbox_task_wait.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_task_start(const unsandbox_client *client,
                             const unsandbox_request *request,
                             const unsandbox_options *options,
                             unsandbox_notify_fn notify,
                             void *user_data,
                             unsandbox_task **task,
                             unsandbox_error **err);

/**
 * Waits for the end of a job as a task. Cancelling the task ends the wait and not the job.
 *
 * @param client     shared; may be used by several threads.
 * @param job_id     copied.
 * @param options    borrowed for the call; NULL for the defaults.
 * @param notify     called once when the task is done, perhaps before this function returns; may be
 *                   NULL.
 * @param user_data  given to notify; must live until it was called.
 * @param task       receives a task owned by the caller; free with unsandbox_task_free. Required.
 * @param err        receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT, … What goes wrong later comes from
 *         unsandbox_task_wait.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_task_start_wait_job(const unsandbox_client *client,
                                      const char *job_id,
                                      size_t job_id_len,
                                      const unsandbox_options *options,
                                      unsandbox_notify_fn notify,
                                      void *user_data,
                                      unsandbox_task **task,
                                      unsandbox_error **err);

/**
 * Waits for the end of a task, at most timeout_ms milliseconds; 0 only looks, a negative number waits
 * without limit. The end can be taken once; after that it is UNSANDBOX_ERR_CONFLICT.
 *
 * @param task    shared; may be used by several threads.
 * @param result  receives a result owned by the caller; free with unsandbox_result_free. Required.
 * @param err     receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK with a result; UNSANDBOX_PENDING, with nothing, when the time was over; or an
 *         error as from unsandbox_client_execute.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_task_wait(const unsandbox_task *task,
                            int64_t timeout_ms,
                            unsandbox_result **result,
                            unsandbox_error **err);

/**
 * 1 once the task is done, else 0; 0 for NULL.
 *
 * @since 0.1
 */
UNSANDBOX_API int32_t unsandbox_task_is_done(const unsandbox_task *task);

/**
 * A descriptor for poll, epoll, kqueue and the like: readable once the task is done, and from then
 * on. Never read from it, never close it.
 *
 * @param fd   receives the descriptor, valid until the task is freed; -1 on Windows. Required.
 * @param err  receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT, or _INTERNAL where the process has no descriptor left.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_task_fd(const unsandbox_task *task,
                          int32_t *fd,
                          unsandbox_error **err);

/**
 * Stops what the task does; its end is then UNSANDBOX_ERR_CANCELLED, unless it has come already.
 * Returns at once; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_task_cancel(const unsandbox_task *task);

/**
 * Frees a task, and cancels it if it is not done; NULL is fine. notify may still be called once, so
 * user_data must outlive that call; a caller that cannot promise this waits for the task first.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_task_free(unsandbox_task *task);

/* JSON in and out: three functions and no structs */

/**
 * Calls a method by its name, with JSON in and JSON out, and waits for it.
 *
 * "execute", "execute_async": the body of POST /execute: {"language", "code", "env", "ttl", …}.
 * "run", "run_async": the same without "language". "get_job", "wait_job", "cancel_job", "delete_job":
 * {"job_id"}, and for "wait_job" perhaps "timeout_ms". "job_events": the same and perhaps "from"; it
 * waits, at most "timeout_ms", for events behind that place in the output, and gives {"events", "from"},
 * where "from" is for the next call; without "from" the state of the job is an event too. "list_jobs": perhaps
 * "limit" and "after", as of unsandbox_client_list_jobs_page; it then gives "has_more", too. "languages",
 * "validate_key", "usage", "health", "probe": nothing. What comes out is in the form of the server's replies; for the six
 * methods that give a result or a job it is as unsandbox_result_json or unsandbox_job_json.
 *
 * @param client    shared; may be used by several threads.
 * @param method    one of the names above.
 * @param json      a JSON object, UTF-8; empty is {}. Borrowed for the call.
 * @param out       receives UTF-8 owned by the caller, NUL-terminated; free with
 *                  unsandbox_string_free. Required.
 * @param out_len   receives the length in bytes; may be NULL.
 * @param err       receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT for an unknown method or wrong JSON, or what the method
 *         returns.
 * @since 0.1
 */
UNSANDBOX_NODISCARD
UNSANDBOX_API
int32_t unsandbox_client_call_json(const unsandbox_client *client,
                                   const char *method,
                                   size_t method_len,
                                   const char *json,
                                   size_t json_len,
                                   char **out,
                                   size_t *out_len,
                                   unsandbox_error **err);

/**
 * Frees what unsandbox_client_call_json gave; NULL is fine.
 *
 * @since 0.1
 */
UNSANDBOX_API void unsandbox_string_free(char *string);

/* Log */

/**
 * Sends the library's messages to a function of the host; for the whole process, off by default.
 * Messages are single lines without control characters; they hold no keys, and no program text above the
 * debug level.
 *
 * @param call       called with each message (UTF-8, NUL-terminated, borrowed for the call); NULL
 *                   ends logging.
 * @param user_data  given to every call.
 * @param free_data  called with user_data when the library has no more use for it; may be NULL.
 * @param level      UNSANDBOX_LOG_…: the last level that is told.
 * @param err        receives an error owned by the caller on failure; may be NULL.
 * @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT for an unknown level; user_data is freed then too.
 * @since 0.1
 */
UNSANDBOX_API
int32_t unsandbox_set_log(unsandbox_log_fn call,
                          void *user_data,
                          unsandbox_free_fn free_data,
                          int32_t level,
                          unsandbox_error **err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LIBUNSANDBOX_H */
