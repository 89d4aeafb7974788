/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* unsandbox_client_execute: the request is built, the reply parsed into a result. With a second argument
 * so many threads share one client. */
#include "common.h"
#include "unsandbox.h"

#include <pthread.h>

static unsandbox_client *client;
static unsandbox_request *request;
static long threads = 1;

static void *some_calls(void *argument) {
    for (long left = (long)(intptr_t)argument; left > 0; left--) {
        unsandbox_result *result = NULL;
        if (unsandbox_client_execute(client, request, NULL, &result, NULL) != UNSANDBOX_OK)
            fail("unsandbox_client_execute");
        if (!result->success) fail("not the reply");
        unsandbox_result_free(result);
    }
    return NULL;
}

static void calls(long count) {
    pthread_t started[64];
    if (threads == 1) {
        some_calls((void *)(intptr_t)count);
        return;
    }
    for (long i = 0; i < threads; i++)
        if (pthread_create(&started[i], NULL, some_calls, (void *)(intptr_t)(count / threads)))
            fail("pthread_create");
    for (long i = 0; i < threads; i++) pthread_join(started[i], NULL);
}

int main(int argc, char **argv) {
    char url[64];
    unsandbox_config *config = NULL;
    if (argc < 2) return 2;
    if (argc > 2) threads = atol(argv[2]);
    if (threads < 1 || threads > 64) fail("1 to 64 threads");
    snprintf(url, sizeof url, "http://127.0.0.1:%s", argv[1]);
    if (unsandbox_config_new(&config, NULL)
        || unsandbox_config_set_base_url(config, url, strlen(url), NULL)
        || unsandbox_config_set_api_key(config, KEY, strlen(KEY), NULL)
        || unsandbox_client_new(config, &client, NULL)
        || unsandbox_request_new(UNSANDBOX_TEXT("python"), UNSANDBOX_TEXT("print(1)"), &request, NULL))
        fail("no client");
    serve_lines(calls);
    unsandbox_request_free(request);
    unsandbox_client_free(client);
    unsandbox_config_free(config);
    return 0;
}
