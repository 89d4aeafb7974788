/* SPDX-License-Identifier: MIT OR Apache-2.0
 * How long calls take that the library answers by itself: prints nanoseconds per call, first of
 * unsandbox_client_validate_key, then of unsandbox_client_call_json. */
#include <unsandbox.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void must(int32_t status) {
    if (status != UNSANDBOX_OK) abort();
}

int main(int argc, char **argv) {
    int calls = argc == 2 ? atoi(argv[1]) : 1, i;
    unsandbox_config *config = NULL;
    unsandbox_client *client = NULL;
    double begun;

    must(unsandbox_config_new(&config, NULL));
    must(unsandbox_config_set_base_url(config, UNSANDBOX_TEXT("local:"), NULL));
    must(unsandbox_client_new(config, &client, NULL));
    unsandbox_config_free(config);

    begun = now();
    for (i = 0; i < calls; i++) {
        unsandbox_key *key = NULL;
        must(unsandbox_client_validate_key(client, NULL, &key, NULL));
        unsandbox_key_free(key);
    }
    printf("%.0f\n", (now() - begun) / calls);

    begun = now();
    for (i = 0; i < calls; i++) {
        char *json = NULL;
        must(unsandbox_client_call_json(client, UNSANDBOX_TEXT("validate_key"), NULL, 0, &json, NULL, NULL));
        unsandbox_string_free(json);
    }
    printf("%.0f\n", (now() - begun) / calls);
    unsandbox_client_free(client);
    return 0;
}
