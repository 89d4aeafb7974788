/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The whole C API once, against a server that says what it is told to. Run under valgrind too. */
#include "unsandbox.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int is(const char *text, const char *expected) {
    return text != NULL && strcmp(text, expected) == 0;
}

static unsandbox_request *request_for(const char *code) {
    unsandbox_request *request = NULL;
    CHECK(unsandbox_request_new(UNSANDBOX_TEXT("python"), UNSANDBOX_TEXT(code), &request, NULL)
          == UNSANDBOX_OK);
    return request;
}

static void count(void *user_data) { ++*(int *)user_data; }

static void log_line(void *user_data, int32_t level, const char *message, size_t len) {
    CHECK(level >= UNSANDBOX_LOG_ERROR && strlen(message) == len);
    ++*(int *)user_data;
}

static void check_requests(void) {
    unsandbox_error *err = NULL;
    unsandbox_request *request = NULL;
    CHECK(unsandbox_request_new("pyt\xff", 4, NULL, 0, &request, &err) == UNSANDBOX_ERR_ARGUMENT);
    CHECK(request == NULL);
    CHECK(strstr(unsandbox_error_message(err, NULL), "language is not UTF-8") != NULL);
    unsandbox_error_free(err);
    err = NULL;
    request = request_for("x");
    CHECK(!unsandbox_request_add_env(request, UNSANDBOX_TEXT("A"), "b\0c", 1, &err));
    CHECK(!unsandbox_request_set_network_mode(request, UNSANDBOX_TEXT("zerotrust"), &err));
    CHECK(!unsandbox_request_set_return_artifact(request, 1, &err));
    CHECK(!unsandbox_request_set_return_wasm_artifact(request, 0, &err));
    CHECK(!unsandbox_request_add_input_file(request, NULL, 0, (const uint8_t *)"a\0b", 3, &err));
    CHECK(!unsandbox_request_set_stdin(request, (const uint8_t *)"in", 2, &err));
    CHECK(!unsandbox_request_add_arg(request, UNSANDBOX_TEXT("arg"), &err));
    CHECK(!unsandbox_request_set_limit(request, UNSANDBOX_TEXT("memory_bytes"), 1 << 26, &err));
    CHECK(unsandbox_request_set_limit(request, UNSANDBOX_TEXT("colour"), 1, &err)
          == UNSANDBOX_ERR_ARGUMENT);
    CHECK(is(unsandbox_error_name(err, NULL), "ARGUMENT"));
    unsandbox_error_free(err);
    unsandbox_request_free(request);
}

static void check_result(const unsandbox_result *result) {
    const unsandbox_artifact *artifact = unsandbox_result_artifact(result, 0);
    unsandbox_error *err = NULL;
    size_t len = 0;
    CHECK(result->success && result->stdout_len == 3 && is(result->stdout_data, "42\n"));
    CHECK(is(unsandbox_result_stderr(result, &len), "") && len == 0);
    CHECK(is(result->language, "python") && is(unsandbox_result_job_id(result, NULL), "job-1"));
    CHECK(result->has_total_time_ms && unsandbox_result_total_time_ms(result) == 12);
    CHECK(!result->has_usage && !result->has_signal && result->limit == UNSANDBOX_LIMIT_NONE);
    CHECK(result->detected_language == NULL && result->isolation_level == NULL);
    CHECK(result->artifact_count == 1 && result->artifacts[0] == artifact);
    CHECK(unsandbox_result_artifact(result, 1) == NULL);
    CHECK(is(artifact->filename, "../plot.png") && is(artifact->safe_filename, "plot.png"));
    CHECK(artifact->content_len == 3 && memcmp(artifact->content, "\0\1\2", 3) == 0);
    CHECK(strstr(unsandbox_result_json(result, &len), "of_tomorrow") != NULL && len > 100);
    /* Nobody can make a file there, not even root. */
    CHECK(unsandbox_result_save_artifacts(result, UNSANDBOX_TEXT("/proc"), &err) == UNSANDBOX_ERR_ARGUMENT);
    CHECK(strstr(unsandbox_error_message(err, NULL), "\"../plot.png\"") != NULL);
    unsandbox_error_free(err);
}

static void check_calls(const unsandbox_client *client) {
    unsandbox_error *err = NULL;
    unsandbox_request *request = request_for("fine");
    unsandbox_result *result = NULL;
    CHECK(unsandbox_client_execute(client, request, NULL, &result, &err) == UNSANDBOX_OK);
    check_result(result);
    unsandbox_result_free(result);
    unsandbox_request_free(request);

    request = request_for("status 429");
    result = NULL;
    CHECK(unsandbox_client_execute(client, request, NULL, &result, &err)
          == UNSANDBOX_ERR_RATE_LIMITED);
    CHECK(result == NULL && unsandbox_error_http_status(err) == 429);
    CHECK(unsandbox_error_retry_after_ms(err) == 7000);
    CHECK(strstr(unsandbox_error_body(err, NULL), "told to say 429") != NULL);
    unsandbox_error_free(err);
    err = NULL;
    unsandbox_request_free(request);

    request = request_for("garbage");
    CHECK(unsandbox_client_execute(client, request, NULL, &result, &err) == UNSANDBOX_ERR_PROTOCOL);
    unsandbox_error_free(err);
    err = NULL;
    unsandbox_request_free(request);

    CHECK(!unsandbox_request_new_detect(UNSANDBOX_TEXT("#!/usr/bin/env python3\n"), &request, &err));
    CHECK(unsandbox_client_run(client, request, NULL, &result, &err) == UNSANDBOX_OK);
    CHECK(is(result->detected_language, "python"));
    unsandbox_result_free(result);
    unsandbox_request_free(request);
}

static void check_jobs(const unsandbox_client *client) {
    unsandbox_error *err = NULL;
    unsandbox_request *request = request_for("fine");
    unsandbox_job *job = NULL;
    unsandbox_job_list *jobs = NULL;
    unsandbox_result *result = NULL;
    CHECK(unsandbox_client_execute_async(client, request, NULL, &job, &err) == UNSANDBOX_OK);
    CHECK(is(job->job_id, "job-1") && job->status == UNSANDBOX_STATUS_PENDING && !job->result);
    unsandbox_job_free(job);
    CHECK(unsandbox_client_get_job(client, "job-1", 5, NULL, &job, &err) == UNSANDBOX_OK);
    CHECK(job->has_created_at && job->created_at == 1 && !job->has_started_at);
    check_result(unsandbox_job_result(job));
    CHECK(strstr(unsandbox_job_json(job, NULL), "of_tomorrow") != NULL);
    unsandbox_job_free(job);
    CHECK(unsandbox_client_wait_job(client, "job-1", 5, NULL, &result, &err) == UNSANDBOX_OK);
    unsandbox_result_free(result);
    CHECK(unsandbox_client_cancel_job(client, "job-1", 5, NULL, &result, &err) == UNSANDBOX_OK);
    CHECK(result->status == UNSANDBOX_STATUS_CANCELLED && result->exit_code == -1);
    unsandbox_result_free(result);
    CHECK(unsandbox_client_delete_job(client, "job-1", 5, NULL, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_client_delete_job(client, "", 0, NULL, &err) == UNSANDBOX_ERR_ARGUMENT);
    unsandbox_error_free(err);
    err = NULL;
    CHECK(unsandbox_client_list_jobs(client, NULL, &jobs, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_job_list_count(jobs) == 1 && unsandbox_job_list_at(jobs, 1) == NULL);
    CHECK(unsandbox_job_status(unsandbox_job_list_at(jobs, 0)) == UNSANDBOX_STATUS_RUNNING);
    unsandbox_job_list_free(jobs);
    CHECK(unsandbox_client_list_jobs_page(client, 1, NULL, 0, NULL, &jobs, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_job_list_count(jobs) == 1 && unsandbox_job_list_has_more(jobs) == 0);
    unsandbox_job_list_free(jobs);
    CHECK(unsandbox_client_list_jobs_page(client, 0, "none", 4, NULL, &jobs, &err) == UNSANDBOX_ERR_ARGUMENT);
    unsandbox_error_free(err);
    err = NULL;
    CHECK(unsandbox_client_get_job(client, "none", 4, NULL, &job, &err) == UNSANDBOX_ERR_NOT_FOUND);
    unsandbox_error_free(err);
    unsandbox_request_free(request);
}

static void check_events(const unsandbox_client *client) {
    unsandbox_error *err = NULL;
    unsandbox_events *events = NULL;
    unsandbox_event *event = NULL;
    size_t len = 0;
    CHECK(unsandbox_events_new(client, "job-1", 5, 1, 0, NULL, &events, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_events_next(events, -1, &event, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_event_kind(event) == UNSANDBOX_EVENT_QUEUED && !unsandbox_event_stream(event));
    CHECK(is(unsandbox_job_job_id(unsandbox_event_job(event), NULL), "job-1"));
    unsandbox_event_free(event);
    CHECK(unsandbox_events_next(events, -1, &event, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_event_kind(event) == UNSANDBOX_EVENT_OUTPUT && !unsandbox_event_job(event));
    CHECK(unsandbox_event_stream(event) == UNSANDBOX_STREAM_STDOUT);
    CHECK(unsandbox_event_offset(event) == 1 && unsandbox_event_missing_bytes(event) == 0);
    CHECK(memcmp(unsandbox_event_data(event, &len), "2\n", 3) == 0 && len == 2);
    CHECK(unsandbox_event_stdout_offset(event) == 3 && !unsandbox_event_stderr_offset(event));
    unsandbox_event_free(event);
    CHECK(unsandbox_events_next(events, -1, &event, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_event_kind(event) == UNSANDBOX_EVENT_FINISHED);
    unsandbox_events_free(events);
    /* An event stays when its reader is gone. */
    check_result(unsandbox_job_result(unsandbox_event_job(event)));
    unsandbox_event_free(event);
    CHECK(unsandbox_events_new(client, "none", 4, 0, 0, NULL, &events, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_events_next(events, -1, &event, &err) == UNSANDBOX_ERR_NOT_FOUND);
    unsandbox_error_free(err);
    CHECK(unsandbox_events_next(events, 0, &event, NULL) == UNSANDBOX_OK && event == NULL);
    unsandbox_events_free(events);
}

static void check_questions(const unsandbox_client *client) {
    unsandbox_error *err = NULL;
    unsandbox_language_list *languages = NULL;
    unsandbox_key *key = NULL;
    unsandbox_health *health = NULL;
    unsandbox_usage *usage = NULL;
    unsandbox_probe *probe = NULL;
    char *json = NULL;
    size_t len = 0;
    CHECK(unsandbox_client_languages(client, NULL, &languages, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_language_list_count(languages) == 2);
    CHECK(is(unsandbox_language_name(unsandbox_language_list_at(languages, 0), NULL), "python"));
    CHECK(is(unsandbox_language_alias(unsandbox_language_list_at(languages, 0), 0, NULL), "py"));
    CHECK(unsandbox_language_available(unsandbox_language_list_at(languages, 0)) == -1);
    unsandbox_language_list_free(languages);
    CHECK(unsandbox_client_validate_key(client, NULL, &key, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_key_is_valid(key) && is(unsandbox_key_tier(key, NULL), "3"));
    unsandbox_key_free(key);
    CHECK(unsandbox_client_usage(client, NULL, &usage, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_usage_running(usage) == 1 && unsandbox_usage_status_runs(usage, 0) == 5);
    CHECK(is(unsandbox_usage_status(usage, 0, NULL), "completed") && !unsandbox_usage_status(usage, 1, NULL));
    CHECK(is(unsandbox_usage_max_limit_name(usage, 0, NULL), "processes") && unsandbox_usage_max_limit(usage, 0) == 16);
    CHECK(unsandbox_usage_has_languages(usage) && is(unsandbox_usage_language(usage, 0, NULL), "bash"));
    CHECK(strstr(unsandbox_usage_json(usage, NULL), "of_tomorrow") != NULL);
    unsandbox_usage_free(usage);
    CHECK(unsandbox_client_health(client, NULL, &health, &err) == UNSANDBOX_OK);
    CHECK(unsandbox_health_is_healthy(health) && is(unsandbox_health_status(health, NULL), "ok"));
    unsandbox_health_free(health);
    CHECK(unsandbox_client_probe(client, &probe, &err) == UNSANDBOX_ERR_ARGUMENT);
    unsandbox_error_free(err);
    err = NULL;
    CHECK(!unsandbox_client_call_json(client, UNSANDBOX_TEXT("execute"),
                                      UNSANDBOX_TEXT("{\"language\":\"python\",\"code\":\"1\"}"), &json,
                                      &len, &err));
    CHECK(strlen(json) == len && strstr(json, "of_tomorrow") != NULL);
    unsandbox_string_free(json);
    CHECK(!unsandbox_client_call_json(client, UNSANDBOX_TEXT("job_events"),
                                      UNSANDBOX_TEXT("{\"job_id\":\"job-1\",\"from\":\"1-0\"}"), &json,
                                      &len, &err));
    CHECK(!strncmp(json, "{\"events\":[{\"event\":\"stdout\",\"offset\":1,\"text\":\"2\\n\"}", 53));
    CHECK(strstr(json, "],\"from\":\"3-0\"}") != NULL);
    unsandbox_string_free(json);
    CHECK(unsandbox_client_call_json(client, UNSANDBOX_TEXT("job_events"),
                                     UNSANDBOX_TEXT("{\"job_id\":\"job-1\",\"from\":\"1\"}"), &json, &len,
                                     &err)
          == UNSANDBOX_ERR_ARGUMENT);
    unsandbox_error_free(err);
    err = NULL;
    CHECK(unsandbox_client_call_json(client, UNSANDBOX_TEXT("execute"), UNSANDBOX_TEXT("{"), &json,
                                     &len, &err)
          == UNSANDBOX_ERR_ARGUMENT);
    unsandbox_error_free(err);
}

static void check_tasks(const unsandbox_client *client) {
    unsandbox_error *err = NULL;
    unsandbox_request *request = request_for("fine");
    unsandbox_task *task = NULL;
    unsandbox_result *result = NULL;
    unsandbox_cancel_token *token = NULL;
    unsandbox_options *options = NULL;
    struct pollfd watched;
    int notified = 0, freed = 0;

    CHECK(!unsandbox_task_start(client, request, NULL, count, &notified, &task, &err));
    CHECK(unsandbox_task_fd(task, &watched.fd, &err) == UNSANDBOX_OK);
    watched.events = POLLIN;
    CHECK(poll(&watched, 1, 20000) == 1);
    CHECK(unsandbox_task_wait(task, -1, &result, &err) == UNSANDBOX_OK);
    check_result(result);
    unsandbox_result_free(result);
    CHECK(unsandbox_task_is_done(task) == 1);
    CHECK(unsandbox_task_wait(task, 0, &result, &err) == UNSANDBOX_ERR_CONFLICT);
    unsandbox_error_free(err);
    err = NULL;
    unsandbox_task_free(task);
    unsandbox_request_free(request);

    request = request_for("slow");
    CHECK(!unsandbox_task_start(client, request, NULL, NULL, NULL, &task, &err));
    CHECK(unsandbox_task_wait(task, 1, &result, &err) == UNSANDBOX_PENDING && err == NULL);
    unsandbox_task_cancel(task);
    CHECK(unsandbox_task_wait(task, 20000, &result, &err) == UNSANDBOX_ERR_CANCELLED);
    unsandbox_error_free(err);
    err = NULL;
    unsandbox_task_free(task);

    CHECK(!unsandbox_cancel_token_new(&token, &err) && !unsandbox_options_new(&options, &err));
    CHECK(!unsandbox_options_set_cancel_token(options, token, &err));
    CHECK(!unsandbox_options_set_output(options, NULL, &freed, count, &err) && freed == 1);
    unsandbox_cancel_token_cancel(token);
    CHECK(unsandbox_cancel_token_is_cancelled(token));
    unsandbox_cancel_token_free(token);
    CHECK(unsandbox_client_execute(client, request, options, &result, &err)
          == UNSANDBOX_ERR_CANCELLED);
    unsandbox_error_free(err);
    err = NULL;
    unsandbox_options_free(options);
    CHECK(!unsandbox_options_new(&options, &err));
    CHECK(!unsandbox_options_set_timeout_ms(options, 50, &err));
    CHECK(unsandbox_client_execute(client, request, options, &result, &err)
          == UNSANDBOX_ERR_TIMEOUT);
    CHECK(unsandbox_error_may_have_run(err) == 1);
    unsandbox_error_free(err);
    unsandbox_options_free(options);
    unsandbox_request_free(request);
}

int main(int argc, char **argv) {
    unsandbox_error *err = NULL;
    unsandbox_config *config = NULL;
    unsandbox_client *client = NULL;
    int lines = 0;
    CHECK(argc == 2);
    CHECK(!unsandbox_set_log(log_line, &lines, NULL, UNSANDBOX_LOG_TRACE, &err));
    CHECK(!unsandbox_config_new(&config, &err));
    CHECK(!unsandbox_config_set_base_url(config, UNSANDBOX_TEXT("gopher://x"), &err));
    CHECK(unsandbox_client_new(config, &client, &err) == UNSANDBOX_ERR_CONFIG && client == NULL);
    unsandbox_error_free(err);
    err = NULL;
    CHECK(!unsandbox_config_set_base_url(config, UNSANDBOX_TEXT(argv[1]), &err));
    CHECK(!unsandbox_config_set_retries(config, 0, &err));
    CHECK(!unsandbox_config_set_proxy(config, UNSANDBOX_TEXT(""), &err));
    CHECK(!unsandbox_config_set_resolve_timeout_ms(config, 60000, &err));
    CHECK(!unsandbox_config_set_send_timeout_ms(config, 60000, &err));
    CHECK(!unsandbox_config_set_first_byte_timeout_ms(config, 60000, &err));
    CHECK(!unsandbox_config_set_read_timeout_ms(config, 60000, &err));
    CHECK(!unsandbox_config_set_job_threshold(config, 120, &err));
    CHECK(!unsandbox_config_set_cancel_jobs(config, 0, &err));
    CHECK(!unsandbox_client_new(config, &client, &err));
    CHECK(is(unsandbox_client_endpoint(client, NULL), argv[1]));
    CHECK(!unsandbox_client_is_local(client));
    check_requests();
    check_calls(client);
    check_jobs(client);
    check_events(client);
    check_questions(client);
    check_tasks(client);
    unsandbox_client_close(client);
    unsandbox_client_free(client);
    unsandbox_config_free(config);
    CHECK(!unsandbox_set_log(NULL, NULL, NULL, UNSANDBOX_LOG_OFF, &err));
    puts("good");
    return 0;
}
