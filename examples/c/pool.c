/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Runs many programs at once: a few threads share one client, and each takes the next program.
 * cc pool.c $(pkg-config --cflags --libs unsandbox) -lpthread -o pool */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unsandbox.h>

enum { PROGRAMS = 12, THREADS = 4 };

typedef struct {
    unsandbox_client *client;
    pthread_mutex_t lock;
    int next;
    int squares[PROGRAMS];
} pool;

static int square(const unsandbox_client *client, int number) {
    unsandbox_error *err = NULL;
    unsandbox_request *request = NULL;
    unsandbox_result *result = NULL;
    char code[64];
    int squared = -1;

    snprintf(code, sizeof code, "echo $((%d * %d))", number, number);
    if (unsandbox_request_new(UNSANDBOX_TEXT("bash"), UNSANDBOX_TEXT(code), &request, &err) == UNSANDBOX_OK
        && unsandbox_client_execute(client, request, NULL, &result, &err) == UNSANDBOX_OK)
        squared = atoi(result->stdout_data);
    else
        fprintf(stderr, "%d: %s\n", number, unsandbox_error_message(err, NULL));
    unsandbox_result_free(result);
    unsandbox_request_free(request);
    unsandbox_error_free(err);
    return squared;
}

static void *work(void *data) {
    pool *shared = data;
    for (;;) {
        int mine;
        pthread_mutex_lock(&shared->lock);
        mine = shared->next++;
        pthread_mutex_unlock(&shared->lock);
        if (mine >= PROGRAMS) return NULL;
        shared->squares[mine] = square(shared->client, mine);
    }
}

int main(void) {
    pool shared = {NULL, PTHREAD_MUTEX_INITIALIZER, 0, {0}};
    pthread_t threads[THREADS];
    unsandbox_error *err = NULL;
    int i;

    if (unsandbox_client_from_env(&shared.client, &err) != UNSANDBOX_OK) {
        fprintf(stderr, "%s\n", unsandbox_error_message(err, NULL));
        unsandbox_error_free(err);
        return 1;
    }
    for (i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, &shared) != 0) abort();
    for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (i = 0; i < PROGRAMS; i++) printf("%d squared is %d\n", i, shared.squares[i]);
    unsandbox_client_free(shared.client);
    return 0;
}
