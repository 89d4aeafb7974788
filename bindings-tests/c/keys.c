/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calls a server COUNT times with a key, and prints every message of the log and every error. */
#include "unsandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void log_line(void *user_data, int32_t level, const char *message, size_t len) {
    (void)user_data;
    (void)level;
    printf("%.*s\n", (int)len, message);
}

int main(int argc, char **argv) {
    unsandbox_error *err = NULL;
    unsandbox_config *config = NULL;
    unsandbox_client *client = NULL;
    unsandbox_request *request = NULL;
    if (argc != 4) return 2;
    if (unsandbox_set_log(log_line, NULL, NULL, UNSANDBOX_LOG_TRACE, &err)) return 3;
    if (unsandbox_config_new(&config, &err)) return 4;
    if (unsandbox_config_set_base_url(config, argv[1], strlen(argv[1]), &err)) return 5;
    if (unsandbox_config_set_api_key(config, argv[2], strlen(argv[2]), &err)) return 6;
    if (unsandbox_config_set_retries(config, 0, &err)) return 7;
    if (unsandbox_client_new(config, &client, &err)) return 8;
    if (unsandbox_request_new(UNSANDBOX_TEXT("python"), UNSANDBOX_TEXT("print(1)"), &request, &err))
        return 9;
    for (int i = 0; i < atoi(argv[3]); i++) {
        unsandbox_result *result = NULL;
        err = NULL;
        if (unsandbox_client_execute(client, request, NULL, &result, &err)) {
            printf("%s\n", unsandbox_error_message(err, NULL));
            unsandbox_error_free(err);
        } else {
            unsandbox_result_free(result);
        }
    }
    unsandbox_request_free(request);
    unsandbox_client_free(client);
    unsandbox_config_free(config);
    return 0;
}
