/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Many threads at one client at once, each with all kinds of calls in turn: for the sanitizers and valgrind.
 * stress URL THREADS ROUNDS; the programs are for bash. */
#include <unsandbox.h>

#include <pthread.h>
#include <stdatomic.h>
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

static unsandbox_client *client;
static const char *url;
static int rounds;
static pthread_barrier_t together;
static atomic_int notices, lines, pieces, freed;

static void count(void *user_data) { atomic_fetch_add((atomic_int *)user_data, 1); }

static void log_line(void *user_data, int32_t level, const char *message, size_t len) {
    (void)level;
    CHECK(strlen(message) == len);
    count(user_data);
}

static void piece(void *user_data, int32_t stream, const uint8_t *data, size_t len) {
    CHECK(stream == UNSANDBOX_STREAM_STDOUT && data != NULL && len > 0);
    count(user_data);
}

static unsandbox_request *request_for(const char *code) {
    unsandbox_request *request = NULL;
    CHECK(!unsandbox_request_new(UNSANDBOX_TEXT("bash"), UNSANDBOX_TEXT(code), &request, NULL));
    CHECK(!unsandbox_request_set_ttl(request, 300, NULL));
    return request;
}

/* What failed is told by its own words. */
static void expect(int32_t status, int32_t expected, unsandbox_error **failure) {
    unsandbox_error *err = *failure;
    if (status != expected) {
        fprintf(stderr, "%s in place of %s: %s\n", unsandbox_code_name(status),
                unsandbox_code_name(expected), unsandbox_error_message(err, NULL));
        exit(1);
    }
    if (expected < 0) CHECK(unsandbox_error_code(err) == expected);
    unsandbox_error_free(err);
    *failure = NULL;
}

static void execute(int number) {
    char code[64], expected[32];
    unsandbox_error *err = NULL;
    unsandbox_result *result = NULL;
    unsandbox_request *request;
    int len = snprintf(expected, sizeof expected, "%d\n", number * number);
    snprintf(code, sizeof code, "echo $((%d * %d))", number, number);
    request = request_for(code);
    expect(unsandbox_client_execute(client, request, NULL, &result, &err), UNSANDBOX_OK, &err);
    CHECK(result->stdout_len == (size_t)len && strcmp(result->stdout_data, expected) == 0);
    CHECK(unsandbox_result_json(result, NULL) != NULL);
    unsandbox_result_free(result);
    unsandbox_request_free(request);
}

static void execute_streaming(void) {
    unsandbox_error *err = NULL;
    unsandbox_result *result = NULL;
    unsandbox_options *options = NULL;
    unsandbox_request *request = request_for("cat numbers; mkdir -p artifacts; cp numbers artifacts/");
    CHECK(!unsandbox_request_add_input_file(request, UNSANDBOX_TEXT("numbers"),
                                            (const uint8_t *)"1\n2\n", 4, NULL));
    CHECK(!unsandbox_options_new(&options, NULL));
    CHECK(!unsandbox_options_set_output(options, piece, &pieces, NULL, NULL));
    CHECK(!unsandbox_options_set_output(options, NULL, &freed, count, NULL));
    CHECK(!unsandbox_options_set_output(options, piece, &pieces, NULL, NULL));
    expect(unsandbox_client_execute(client, request, options, &result, &err), UNSANDBOX_OK, &err);
    CHECK(strcmp(result->stdout_data, "1\n2\n") == 0 && result->artifact_count == 1);
    CHECK(result->artifacts[0]->content_len == 4);
    unsandbox_result_free(result);
    unsandbox_options_free(options);
    unsandbox_request_free(request);
}

static void job(void) {
    unsandbox_error *err = NULL;
    unsandbox_job *made = NULL, *now = NULL;
    unsandbox_job_list *jobs = NULL;
    unsandbox_result *result = NULL;
    unsandbox_request *request = request_for("echo job");
    expect(unsandbox_client_execute_async(client, request, NULL, &made, &err), UNSANDBOX_OK, &err);
    expect(unsandbox_client_list_jobs(client, NULL, &jobs, &err), UNSANDBOX_OK, &err);
    expect(unsandbox_client_get_job(client, made->job_id, made->job_id_len, NULL, &now, &err),
           UNSANDBOX_OK, &err);
    expect(unsandbox_client_wait_job(client, made->job_id, made->job_id_len, NULL, &result, &err),
           UNSANDBOX_OK, &err);
    CHECK(strcmp(result->stdout_data, "job\n") == 0);
    unsandbox_result_free(result);
    unsandbox_job_free(now);
    unsandbox_job_free(made);
    unsandbox_job_list_free(jobs);
    unsandbox_request_free(request);
}

static void job_cancelled(void) {
    unsandbox_error *err = NULL;
    unsandbox_job *made = NULL;
    unsandbox_result *result = NULL;
    unsandbox_request *request = request_for("sleep 200");
    expect(unsandbox_client_execute_async(client, request, NULL, &made, &err), UNSANDBOX_OK, &err);
    expect(unsandbox_client_cancel_job(client, made->job_id, made->job_id_len, NULL, &result, &err),
           UNSANDBOX_OK, &err);
    CHECK(result->status == UNSANDBOX_STATUS_CANCELLED);
    unsandbox_result_free(result);
    unsandbox_job_free(made);
    unsandbox_request_free(request);
}

static void task(void) {
    unsandbox_error *err = NULL;
    unsandbox_task *made = NULL;
    unsandbox_result *result = NULL;
    unsandbox_request *request = request_for("echo task >&2; exit 3");
    int32_t fd = -1;
    expect(unsandbox_task_start(client, request, NULL, count, &notices, &made, &err), UNSANDBOX_OK, &err);
    unsandbox_request_free(request);
    CHECK(!unsandbox_task_fd(made, &fd, NULL) && fd >= 0);
    expect(unsandbox_task_wait(made, -1, &result, &err), UNSANDBOX_OK, &err);
    CHECK(result->exit_code == 3 && strcmp(result->stderr_data, "task\n") == 0);
    unsandbox_result_free(result);
    unsandbox_task_free(made);
}

/* One task is cancelled and waited for, one is freed while it runs. */
static void tasks_cancelled(void) {
    unsandbox_error *err = NULL;
    unsandbox_task *first = NULL, *second = NULL;
    unsandbox_result *result = NULL;
    unsandbox_request *request = request_for("sleep 200");
    expect(unsandbox_task_start(client, request, NULL, count, &notices, &first, &err), UNSANDBOX_OK, &err);
    expect(unsandbox_task_start(client, request, NULL, count, &notices, &second, &err), UNSANDBOX_OK, &err);
    unsandbox_request_free(request);
    unsandbox_task_cancel(first);
    expect(unsandbox_task_wait(first, -1, &result, &err), UNSANDBOX_ERR_CANCELLED, &err);
    unsandbox_task_free(first);
    unsandbox_task_free(second);
}

static void *cancel(void *token) {
    unsandbox_cancel_token_cancel(token);
    return NULL;
}

static void call_cancelled(void) {
    unsandbox_error *err = NULL;
    unsandbox_cancel_token *token = NULL;
    unsandbox_options *options = NULL;
    unsandbox_result *result = NULL;
    unsandbox_request *request = request_for("sleep 200");
    pthread_t other;
    CHECK(!unsandbox_cancel_token_new(&token, NULL) && !unsandbox_options_new(&options, NULL));
    CHECK(!unsandbox_options_set_cancel_token(options, token, NULL));
    CHECK(pthread_create(&other, NULL, cancel, token) == 0);
    expect(unsandbox_client_execute(client, request, options, &result, &err), UNSANDBOX_ERR_CANCELLED, &err);
    pthread_join(other, NULL);
    unsandbox_options_free(options);
    unsandbox_cancel_token_free(token);
    unsandbox_request_free(request);
}

static void call_late(void) {
    unsandbox_error *err = NULL;
    unsandbox_options *options = NULL;
    unsandbox_result *result = NULL;
    unsandbox_request *request = request_for("sleep 200");
    CHECK(!unsandbox_options_new(&options, NULL));
    CHECK(!unsandbox_options_set_timeout_ms(options, 20, NULL));
    expect(unsandbox_client_execute(client, request, options, &result, &err), UNSANDBOX_ERR_TIMEOUT, &err);
    unsandbox_options_free(options);
    unsandbox_request_free(request);
}

static void questions(void) {
    static const char *const methods[] = {"validate_key", "usage", "health", "list_jobs"};
    unsandbox_error *err = NULL;
    char *json = NULL;
    size_t i;
    for (i = 0; i < sizeof methods / sizeof *methods; i++) {
            expect(unsandbox_client_call_json(client, UNSANDBOX_TEXT(methods[i]), NULL, 0, &json, NULL, &err),
               UNSANDBOX_OK, &err);
        unsandbox_string_free(json);
    }
    expect(unsandbox_client_call_json(client, UNSANDBOX_TEXT("nonsense"), NULL, 0, &json, NULL, &err),
           UNSANDBOX_ERR_ARGUMENT, &err);
}

static unsandbox_client *client_at(const char *place) {
    unsandbox_config *config = NULL;
    unsandbox_client *made = NULL;
    unsandbox_error *err = NULL;
    CHECK(!unsandbox_config_new(&config, NULL));
    CHECK(!unsandbox_config_set_base_url(config, UNSANDBOX_TEXT(place), NULL));
    expect(unsandbox_client_new(config, &made, &err), UNSANDBOX_OK, &err);
    unsandbox_config_free(config);
    return made;
}

/* A client of its own, which is asked and freed; loggers come and go meanwhile. */
static void client_of_its_own(void) {
    unsandbox_client *own = client_at(url);
    unsandbox_error *err = NULL;
    unsandbox_health *health = NULL;
    CHECK(!unsandbox_set_log(log_line, &lines, NULL, UNSANDBOX_LOG_TRACE, NULL));
    expect(unsandbox_client_health(own, NULL, &health, &err), UNSANDBOX_OK, &err);
    unsandbox_health_free(health);
    unsandbox_client_free(own);
    CHECK(!unsandbox_set_log(NULL, NULL, NULL, UNSANDBOX_LOG_OFF, NULL));
}

static void *work(void *number) {
    int mine = *(int *)number, round;
    pthread_barrier_wait(&together);
    for (round = 0; round < rounds; round++) {
        switch ((mine + round) % 10) {
        case 0: execute(mine + round); break;
        case 1: execute_streaming(); break;
        case 2: job(); break;
        case 3: job_cancelled(); break;
        case 4: task(); break;
        case 5: tasks_cancelled(); break;
        case 6: call_cancelled(); break;
        case 7: call_late(); break;
        case 8: questions(); break;
        default: client_of_its_own(); break;
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    enum { THREADS_MAX = 256 };
    pthread_t threads[THREADS_MAX];
    int numbers[THREADS_MAX], count_of_threads, i;
    CHECK(argc == 4);
    url = argv[1];
    count_of_threads = atoi(argv[2]);
    rounds = atoi(argv[3]);
    CHECK(count_of_threads > 0 && count_of_threads <= THREADS_MAX && rounds > 0);
    client = client_at(url);
    CHECK(pthread_barrier_init(&together, NULL, (unsigned)count_of_threads) == 0);
    for (i = 0; i < count_of_threads; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, work, &numbers[i]) == 0);
    }
    for (i = 0; i < count_of_threads; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    unsandbox_client_free(client);
    pthread_barrier_destroy(&together);
    printf("good\n");
    return 0;
}
