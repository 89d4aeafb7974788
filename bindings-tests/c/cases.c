// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Drives the table of cases through the C API: reads cases on standard input, calls what they say, and
// prints what came back. Judging is the runner's; the form of the lines is in table/lines.py.

#include <unsandbox.h>

#include "events.h"
#include "lines.h"
#include "usage.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CLIENTS_MAX = 64 };

/* Clients by their settings. */
static struct {
    char *settings;
    unsandbox_client *client;
} clients[CLIENTS_MAX];

#ifdef UNSANDBOX_PANICS
void unsandbox_test_arm_panics(int32_t armed);
#endif

/* ---- printing ---- */

static void put_error(unsandbox_error *err) {
    size_t len;
    const char *data = unsandbox_error_name(err, &len);
    put_text("error", data, len);
    const char *message = unsandbox_error_message(err, &len);
    put("message");
    put_word(message, len);
    putchar('\n');
    if (unsandbox_error_http_status(err)) put_number("http_status", unsandbox_error_http_status(err));
    if (unsandbox_error_retry_after_ms(err) >= 0)
        put_number("retry_after_ms", unsandbox_error_retry_after_ms(err));
    put_number("may_have_run", unsandbox_error_may_have_run(err));
    data = unsandbox_error_job_id(err, &len);
    put_text("error_job_id", data, len);
    unsandbox_error_free(err);
}

static const char *limit_word(int32_t limit) {
    static const char *const words[] = {NULL, "wall", "cpu", "memory", "processes", "output", "files"};
    return limit >= 0 && limit < 7 ? words[limit] : NULL;
}

static void put_result(const unsandbox_result *it) {
    put_number("success", it->success);
    put_text("status", it->status_text, it->status_text_len);
    put_stream("stdout", it->stdout_data, it->stdout_len);
    put_stream("stderr", it->stderr_data, it->stderr_len);
    if (it->has_exit_code) put_number("exit_code", it->exit_code);
    if (it->has_signal) put_number("signal", it->signal);
    const char *limit = limit_word(it->limit);
    put_text("limit", limit, limit ? strlen(limit) : 0);
    put_text("error_text", it->error, it->error_len);
    put_text("language", it->language, it->language_len);
    put_text("detected_language", it->detected_language, it->detected_language_len);
    put_text("job_id", it->job_id, it->job_id_len);
    put_text("execution_mode", it->execution_mode, it->execution_mode_len);
    put_text("network_mode", it->network_mode, it->network_mode_len);
    size_t runtime_len = 0;
    const char *runtime = unsandbox_result_runtime(it, &runtime_len);
    put_text("runtime", runtime, runtime_len);
    if (it->has_total_time_ms) put_number("total_time_ms", (int64_t)it->total_time_ms);
    if (it->has_usage) {
        put_number("cpu_time_ms", (int64_t)it->cpu_time_ms);
        put_number("peak_memory_bytes", (int64_t)it->peak_memory_bytes);
        put_number("wall_time_ms", (int64_t)unsandbox_result_wall_time_ms(it));
    }
    if (unsandbox_result_has_compile(it)) {
        put_number("compile_cpu_time_ms", (int64_t)unsandbox_result_compile_cpu_time_ms(it));
        put_number("compile_peak_memory_bytes", (int64_t)unsandbox_result_compile_peak_memory_bytes(it));
        put_number("compile_wall_time_ms", (int64_t)unsandbox_result_compile_wall_time_ms(it));
    }
    put_number("truncated", it->truncated);
    put_text("isolation", it->isolation_level, it->isolation_level_len);
    for (size_t i = 0; i < it->artifact_count; i++) {
        const unsandbox_artifact *artifact = it->artifacts[i];
        put("artifact");
        put_word(artifact->filename, artifact->filename_len);
        put_word(artifact->kind, artifact->kind_len);
        printf(" %zu", artifact->content_len);
        put_word(artifact->content, artifact->content_len < 4 ? artifact->content_len : 4);
        putchar('\n');
    }
    for (size_t i = 0; i < unsandbox_result_left_file_count(it); i++) {
        size_t len;
        const char *name = unsandbox_result_left_file(it, i, &len);
        put_text("left_file", name, len);
    }
}

static void put_job(const unsandbox_job *it) {
    put_text("job.job_id", it->job_id, it->job_id_len);
    put_text("job.status", it->status_text, it->status_text_len);
    put_text("job.language", it->language, it->language_len);
    put_text("job.detected_language", it->detected_language, it->detected_language_len);
    put_text("job.network_mode", it->network_mode, it->network_mode_len);
    if (it->has_created_at) put_number("job.created_at", it->created_at);
    if (it->has_started_at) put_number("job.started_at", it->started_at);
    if (it->has_completed_at) put_number("job.completed_at", it->completed_at);
}

/* ---- making what the calls take ---- */

static int32_t configure(unsandbox_config *config, const block *from, unsandbox_error **err) {
    const word *public_key = NULL;
    int32_t code = UNSANDBOX_OK;
    for (size_t i = 0; i < from->count && code == UNSANDBOX_OK; i++) {
        if (!is(&from->lines[i].words[0], "set")) continue;
        const word *name = &from->lines[i].words[1], *value = &from->lines[i].words[2];
        if (is(name, "base_url")) code = unsandbox_config_set_base_url(config, text(value), value->len, err);
        else if (is(name, "api_key")) code = unsandbox_config_set_api_key(config, text(value), value->len, err);
        else if (is(name, "public_key")) public_key = value;
        else if (is(name, "secret_key") && public_key)
            code = unsandbox_config_set_key_pair(config, text(public_key), public_key->len, text(value), value->len, err);
        else if (is(name, "account")) code = unsandbox_config_set_account(config, (uint32_t)number(value), err);
        else if (is(name, "accounts_file")) code = unsandbox_config_set_accounts_file(config, text(value), value->len, err);
        else if (is(name, "ca_file")) code = unsandbox_config_set_ca_file(config, text(value), value->len, err);
        else if (is(name, "allow_plain_http_key")) code = unsandbox_config_set_allow_plain_http_key(config, 1, err);
        else if (is(name, "timeout_ms")) code = unsandbox_config_set_timeout_ms(config, number(value), err);
        else if (is(name, "retries")) code = unsandbox_config_set_retries(config, (uint32_t)number(value), err);
        else if (is(name, "reply_max_bytes")) code = unsandbox_config_set_reply_max_bytes(config, number(value), err);
        else if (is(name, "isolation")) code = unsandbox_config_set_isolation(config, text(value), value->len, err);
        else if (is(name, "concurrency")) code = unsandbox_config_set_concurrency(config, (uint32_t)number(value), err);
        else if (is(name, "queue_max")) code = unsandbox_config_set_queue_max(config, (uint32_t)number(value), err);
        else die("no setting is called", text(name));
    }
    return code;
}

/* A client for the case's settings, kept for the next case with the same ones. */
static int32_t client_for(const block *from, const unsandbox_client **client, unsandbox_error **err) {
    size_t at = 0;
    while (clients[at].settings && strcmp(clients[at].settings, from->settings)) at++;
    if (at + 1 >= CLIENTS_MAX) die("too many clients", from->settings);
    if (!clients[at].settings || said(from, "close")) {
        unsandbox_config *config;
        unsandbox_client *made = NULL;
        int32_t code = unsandbox_config_new(&config, err);
        if (code == UNSANDBOX_OK) code = configure(config, from, err);
        if (code == UNSANDBOX_OK) code = unsandbox_client_new(config, &made, err);
        unsandbox_config_free(config);
        if (code != UNSANDBOX_OK) return code;
        unsandbox_client_free(clients[at].client);
        free(clients[at].settings);
        clients[at].settings = need(strdup(said(from, "close") ? "closed" : from->settings));
        clients[at].client = made;
        if (said(from, "close")) unsandbox_client_close(made);
    }
    *client = clients[at].client;
    return UNSANDBOX_OK;
}

static int32_t take(unsandbox_request *request, const line *it, unsandbox_error **err) {
    const word *name = &it->words[0], *a = &it->words[1], *b = &it->words[2];
    if (is(name, "env")) return unsandbox_request_add_env(request, text(a), a->len, text(b), b->len, err);
    if (is(name, "network_mode")) return unsandbox_request_set_network_mode(request, text(a), a->len, err);
    if (is(name, "ttl")) return unsandbox_request_set_ttl(request, strtoll(text(a), NULL, 10), err);
    if (is(name, "return_artifact")) return unsandbox_request_set_return_artifact(request, 1, err);
    if (is(name, "return_wasm_artifact")) return unsandbox_request_set_return_wasm_artifact(request, 1, err);
    if (is(name, "file")) return unsandbox_request_add_input_file(request, text(a), a->len, b->data, b->len, err);
    if (is(name, "unnamed_file")) return unsandbox_request_add_input_file(request, NULL, 0, a->data, a->len, err);
    if (is(name, "tree_file")) return unsandbox_request_add_file(request, text(a), a->len, b->data, b->len, err);
    if (is(name, "stdin")) return unsandbox_request_set_stdin(request, a->data, a->len, err);
    if (is(name, "arg")) return unsandbox_request_add_arg(request, text(a), a->len, err);
    if (is(name, "flag")) return unsandbox_request_add_flag(request, text(a), a->len, err);
    if (is(name, "output")) return unsandbox_request_add_output(request, text(a), a->len, err);
    if (is(name, "limit")) return unsandbox_request_set_limit(request, text(a), a->len, number(b), err);
    if (is(name, "rerun")) return unsandbox_request_set_rerun(request, text(a), a->len, err);
    if (is(name, "callback_url")) return unsandbox_request_set_callback_url(request, text(a), a->len, err);
    if (is(name, "runtime")) return unsandbox_request_set_runtime(request, text(a), a->len, err);
    return UNSANDBOX_OK;
}

static int32_t request_for(const block *from, int named, unsandbox_request **request, unsandbox_error **err) {
    const word *language = said(from, "language"), *code = said(from, "code");
    if (!code) {
        *request = NULL;
        return UNSANDBOX_OK;
    }
    int32_t status = named
        ? unsandbox_request_new(text(language), language->len, text(code), code->len, request, err)
        : unsandbox_request_new_detect(text(code), code->len, request, err);
    for (size_t i = 0; i < from->count && status == UNSANDBOX_OK; i++) status = take(*request, &from->lines[i], err);
    return status;
}

/* ---- playing ---- */

typedef struct {
    unsandbox_cancel_token *token;
    uint64_t after_ms;
} later;

static void pause_ms(uint64_t ms) {
    struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static void *cancel_later(void *data) {
    const later *it = data;
    pause_ms(it->after_ms);
    unsandbox_cancel_token_cancel(it->token);
    return NULL;
}

typedef struct {
    const unsandbox_client *client;
    const unsandbox_request *request;
    const unsandbox_options *options;
    const char *job_id;
    size_t job_id_len;
    uint64_t page_limit;
    const char *page_after;
    const char *from;
} call;

static int32_t execute(const call *it, int named, unsandbox_error **err) {
    unsandbox_result *result;
    int32_t code = named ? unsandbox_client_execute(it->client, it->request, it->options, &result, err)
                         : unsandbox_client_run(it->client, it->request, it->options, &result, err);
    if (code == UNSANDBOX_OK) {
        put_result(result);
        unsandbox_result_free(result);
    }
    return code;
}

static int32_t submit(const call *it, int named, unsandbox_job **job, unsandbox_error **err) {
    return named ? unsandbox_client_execute_async(it->client, it->request, it->options, job, err)
                 : unsandbox_client_run_async(it->client, it->request, it->options, job, err);
}

static int32_t wait_for(const call *it, unsandbox_error **err) {
    unsandbox_result *result;
    int32_t code = unsandbox_client_wait_job(it->client, it->job_id, it->job_id_len, it->options, &result, err);
    if (code == UNSANDBOX_OK) {
        put_result(result);
        unsandbox_result_free(result);
    }
    return code;
}

static int32_t submit_and_wait(const call *it, int named, unsandbox_error **err) {
    unsandbox_job *job;
    int32_t code = submit(it, named, &job, err);
    if (code != UNSANDBOX_OK) return code;
    put_job(job);
    call wait = {.client = it->client, .job_id = job->job_id, .job_id_len = job->job_id_len};
    code = wait_for(&wait, err);
    unsandbox_job_free(job);
    return code;
}

static int32_t get_job(const call *it, unsandbox_error **err) {
    unsandbox_job *job;
    int32_t code = unsandbox_client_get_job(it->client, it->job_id, it->job_id_len, it->options, &job, err);
    if (code != UNSANDBOX_OK) return code;
    put_job(job);
    if (job->result) put_result(job->result);
    unsandbox_job_free(job);
    return code;
}

static int32_t cancel_job(const call *it, int show, unsandbox_error **err) {
    unsandbox_result *result;
    int32_t code = unsandbox_client_cancel_job(it->client, it->job_id, it->job_id_len, it->options, &result, err);
    if (code != UNSANDBOX_OK) return code;
    if (show) put_result(result);
    unsandbox_result_free(result);
    return code;
}

static int32_t job_events(const call *it, unsandbox_error **err) {
    unsandbox_events *events;
    unsandbox_event *event;
    told all = {0};
    char *rest = NULL;
    uint64_t out = it->from ? strtoull(it->from, &rest, 10) : 0;
    uint64_t errs = rest ? strtoull(rest + 1, NULL, 10) : 0;
    int32_t code = unsandbox_events_new(it->client, it->job_id, it->job_id_len, out, errs, it->options, &events, err);
    if (code != UNSANDBOX_OK) return code;
    while ((code = unsandbox_events_next(events, -1, &event, err)) == UNSANDBOX_OK && event) {
        take_event(&all, event);
        if (unsandbox_event_kind(event) == UNSANDBOX_EVENT_FINISHED) {
            const unsandbox_job *job = unsandbox_event_job(event);
            put_told(&all);
            put_job(job);
            if (job->result->has_exit_code) put_number("exit_code", job->result->exit_code);
        }
        unsandbox_event_free(event);
    }
    free_told(&all);
    unsandbox_events_free(events);
    return code;
}

static int32_t delete_job(const call *it, unsandbox_error **err) {
    int32_t code = unsandbox_client_delete_job(it->client, it->job_id, it->job_id_len, it->options, err);
    if (code != UNSANDBOX_OK) return code;
    unsandbox_job *job = NULL;
    code = unsandbox_client_get_job(it->client, it->job_id, it->job_id_len, it->options, &job, NULL);
    put_number("found", code != UNSANDBOX_ERR_NOT_FOUND);
    unsandbox_job_free(job);
    return UNSANDBOX_OK;
}

static int32_t list_jobs(const call *it, unsandbox_error **err) {
    unsandbox_job_list *jobs;
    const char *after = it->page_after && !strcmp(it->page_after, "submitted") ? it->job_id : it->page_after;
    int32_t code = it->page_limit || after
                       ? unsandbox_client_list_jobs_page(it->client, (uint32_t)it->page_limit, after,
                                                         after ? strlen(after) : 0, it->options, &jobs, err)
                       : unsandbox_client_list_jobs(it->client, it->options, &jobs, err);
    if (code != UNSANDBOX_OK) return code;
    size_t count = unsandbox_job_list_count(jobs);
    put_number("count", (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        const unsandbox_job *job = unsandbox_job_list_at(jobs, i);
        if (it->job_id_len && strcmp(job->job_id, it->job_id)) continue;
        put_job(job);
        break;
    }
    unsandbox_job_list_free(jobs);
    return code;
}

static int32_t languages(const call *it, unsandbox_error **err) {
    unsandbox_language_list *list;
    int32_t code = unsandbox_client_languages(it->client, it->options, &list, err);
    if (code != UNSANDBOX_OK) return code;
    size_t count = unsandbox_language_list_count(list), len;
    put_number("count", (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        const unsandbox_language *language = unsandbox_language_list_at(list, i);
        const char *name = unsandbox_language_name(language, &len);
        int32_t available = unsandbox_language_available(language);
        put("offers");
        put_word(name, len);
        puts(available < 0 ? " -" : available ? " 1" : " 0");
    }
    unsandbox_language_list_free(list);
    return code;
}

static int32_t validate_key(const call *it, unsandbox_error **err) {
    unsandbox_key *key;
    int32_t code = unsandbox_client_validate_key(it->client, it->options, &key, err);
    if (code != UNSANDBOX_OK) return code;
    size_t len;
    put_number("valid", unsandbox_key_is_valid(key));
    const char *tier = unsandbox_key_tier(key, &len);
    put_text("tier", tier, len);
    const char *reason = unsandbox_key_reason(key, &len);
    put_text("reason", reason, len);
    unsandbox_key_free(key);
    return code;
}

static int32_t usage(const call *it, unsandbox_error **err) {
    unsandbox_usage *usage;
    int32_t code = unsandbox_client_usage(it->client, it->options, &usage, err);
    if (code != UNSANDBOX_OK) return code;
    put_usage(usage);
    unsandbox_usage_free(usage);
    return code;
}

static int32_t health(const call *it, unsandbox_error **err) {
    unsandbox_health *health;
    int32_t code = unsandbox_client_health(it->client, it->options, &health, err);
    if (code != UNSANDBOX_OK) return code;
    size_t len;
    put_number("healthy", unsandbox_health_is_healthy(health));
    const char *status = unsandbox_health_status(health, &len);
    put_text("health", status, len);
    unsandbox_health_free(health);
    return code;
}

static int32_t operate(const char *operation, const call *it, unsandbox_error **err) {
    if (!strcmp(operation, "execute")) return execute(it, 1, err);
    if (!strcmp(operation, "run")) return execute(it, 0, err);
    if (!strcmp(operation, "execute_async")) return submit_and_wait(it, 1, err);
    if (!strcmp(operation, "run_async")) return submit_and_wait(it, 0, err);
    if (!strcmp(operation, "get_job")) return get_job(it, err);
    if (!strcmp(operation, "wait_job")) return wait_for(it, err);
    if (!strcmp(operation, "job_events")) return job_events(it, err);
    if (!strcmp(operation, "cancel_job")) return cancel_job(it, 1, err);
    if (!strcmp(operation, "delete_job")) return delete_job(it, err);
    if (!strcmp(operation, "list_jobs")) return list_jobs(it, err);
    if (!strcmp(operation, "languages")) return languages(it, err);
    if (!strcmp(operation, "validate_key")) return validate_key(it, err);
    if (!strcmp(operation, "usage")) return usage(it, err);
    if (!strcmp(operation, "health")) return health(it, err);
    die("no operation is called", operation);
    return 0;
}

/* Submits the case's request as a job, and waits for the state that the case asks for. */
static int32_t prepare(const block *from, const call *it, unsandbox_job **job, unsandbox_error **err) {
    int32_t code = submit(it, is(said(from, "submit"), "execute_async"), job, err);
    if (code != UNSANDBOX_OK) return code;
    const word *until = said(from, "until");
    int waiting = until && is(until, "running");
    while (waiting) {
        unsandbox_job *now;
        code = unsandbox_client_get_job(it->client, (*job)->job_id, (*job)->job_id_len, NULL, &now, err);
        if (code != UNSANDBOX_OK) return code;
        waiting = now->status == UNSANDBOX_STATUS_PENDING;
        unsandbox_job_free(now);
        if (waiting) pause_ms(10);
    }
    if (until && is(until, "ended")) {
        unsandbox_result *result;
        code = unsandbox_client_wait_job(it->client, (*job)->job_id, (*job)->job_id_len, NULL, &result, err);
        if (code != UNSANDBOX_OK) return code;
        unsandbox_result_free(result);
    }
    pause_ms(number(said(from, "settle_ms")));
    return code;
}

static int32_t with_options(const block *from, call *it, unsandbox_error **err) {
    const char *operation = text(said(from, "do"));
    unsandbox_options *options = NULL;
    unsandbox_job *job = NULL;
    pthread_t thread;
    later cancel = {NULL, number(said(from, "cancel_after_ms"))};
    int32_t code = unsandbox_options_new(&options, err);
    if (code == UNSANDBOX_OK && said(from, "submit")) code = prepare(from, it, &job, err);
    if (job) {
        it->job_id = job->job_id;
        it->job_id_len = job->job_id_len;
    }
    if (code == UNSANDBOX_OK && said(from, "timeout_ms"))
        code = unsandbox_options_set_timeout_ms(options, number(said(from, "timeout_ms")), err);
    if (code == UNSANDBOX_OK && cancel.after_ms) {
        code = unsandbox_cancel_token_new(&cancel.token, err);
        if (code == UNSANDBOX_OK) code = unsandbox_options_set_cancel_token(options, cancel.token, err);
        if (code == UNSANDBOX_OK && pthread_create(&thread, NULL, cancel_later, &cancel)) abort();
    }
    it->options = options;
    if (code == UNSANDBOX_OK) code = operate(operation, it, err);
    it->options = NULL;
    if (job && strcmp(operation, "wait_job") && strcmp(operation, "cancel_job")) cancel_job(it, 0, NULL);
    if (cancel.token) pthread_join(thread, NULL);
    unsandbox_cancel_token_free(cancel.token);
    unsandbox_options_free(options);
    unsandbox_job_free(job);
    return code;
}

static int32_t play(const block *from, unsandbox_error **err) {
    const char *about = said(from, "submit") ? text(said(from, "submit")) : text(said(from, "do"));
    const word *job_id = said(from, "job_id");
    unsandbox_request *request = NULL;
    const word *after = said(from, "page_after");
    call it = {.job_id = job_id ? text(job_id) : "", .job_id_len = job_id ? job_id->len : 0,
               .page_limit = number(said(from, "page_limit")), .page_after = after ? text(after) : NULL,
               .from = said(from, "from") ? text(said(from, "from")) : NULL};
    int32_t code = client_for(from, &it.client, err);
    if (code != UNSANDBOX_OK) return code;
    code = request_for(from, strncmp(about, "execute", 7) == 0 || !said(from, "code"), &request, err);
    it.request = request;
#ifdef UNSANDBOX_PANICS
    if (said(from, "panic")) unsandbox_test_arm_panics(1);
#endif
    if (code == UNSANDBOX_OK) code = said(from, "panic") ? health(&it, err) : with_options(from, &it, err);
#ifdef UNSANDBOX_PANICS
    unsandbox_test_arm_panics(0);
#endif
    unsandbox_request_free(request);
    return code;
}

static int64_t now_ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int main(void) {
    block from;
    while (read_block(&from)) {
        unsandbox_error *err = NULL;
        int64_t begun = now_ms(CLOCK_MONOTONIC);
        put("case");
        put_word(said(&from, "case")->data, said(&from, "case")->len);
        putchar('\n');
        if (play(&from, &err) != UNSANDBOX_OK) put_error(err);
        put_number("elapsed_ms", now_ms(CLOCK_MONOTONIC) - begun);
        put_number("ended_at_ms", now_ms(CLOCK_REALTIME));
        puts("end");
        fflush(stdout);
        free_block(&from);
    }
    free_block(&from);
    for (size_t i = 0; clients[i].settings; i++) {
        unsandbox_client_free(clients[i].client);
        free(clients[i].settings);
    }
    return 0;
}
