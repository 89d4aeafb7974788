/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How long a blocked call takes to return after its token was cancelled (by a thread, or by the one that
 * waits for Ctrl-C) or its deadline has come. Prints nanoseconds, or for Ctrl-C the time of the return. */
#include "common.h"
#include "unsandbox.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static int64_t ended_at;

static void *cancel_soon(void *token) {
    usleep(50000);
    ended_at = nanoseconds(CLOCK_MONOTONIC);
    unsandbox_cancel_token_cancel(token);
    return NULL;
}

static void *cancel_at_signal(void *token) {
    sigset_t signals;
    int number = 0;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigwait(&signals, &number);
    unsandbox_cancel_token_cancel(token);
    return NULL;
}

int main(int argc, char **argv) {
    char url[64];
    sigset_t signals;
    pthread_t thread;
    unsandbox_config *config = NULL;
    unsandbox_client *client = NULL;
    unsandbox_request *request = NULL;
    unsandbox_options *options = NULL;
    unsandbox_cancel_token *token = NULL;
    unsandbox_result *result = NULL;
    if (argc != 3) return 2;
    const int by_deadline = strcmp(argv[2], "deadline") == 0;
    const int by_signal = strcmp(argv[2], "Ctrl-C") == 0;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%s", argv[1]);
    if (unsandbox_config_new(&config, NULL)
        || unsandbox_config_set_base_url(config, url, strlen(url), NULL)
        || unsandbox_client_new(config, &client, NULL)
        || unsandbox_request_new(UNSANDBOX_TEXT("python"), UNSANDBOX_TEXT("hang"), &request, NULL)
        || unsandbox_options_new(&options, NULL) || unsandbox_cancel_token_new(&token, NULL)
        || unsandbox_options_set_cancel_token(options, token, NULL))
        fail("no client");
    if (by_deadline && unsandbox_options_set_timeout_ms(options, 50, NULL)) fail("no deadline");
    ended_at = nanoseconds(CLOCK_MONOTONIC) + 50000000;
    if (!by_deadline)
        pthread_create(&thread, NULL, by_signal ? cancel_at_signal : cancel_soon, token);
    puts("ready");
    fflush(stdout);
    const int32_t status = unsandbox_client_execute(client, request, options, &result, NULL);
    const int64_t now = nanoseconds(CLOCK_MONOTONIC);
    if (status != (by_deadline ? UNSANDBOX_ERR_TIMEOUT : UNSANDBOX_ERR_CANCELLED)) fail("another end");
    printf("%lld\n", (long long)(by_signal ? now : now - ended_at));
    return 0;
}
