/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sends 10 MB ("in") or receives 16 MB ("out") and prints by how many bytes the peak of resident memory
 * is above what the process had before, and how long the output was. */
#include "unsandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES (5u * 1024 * 1024)

static long resident(const char *field) {
    char line[256];
    long kb = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (strncmp(line, field, strlen(field)) == 0) kb = atol(line + strlen(field) + 1);
    fclose(status);
    return kb * 1024;
}

static void forget_the_peak(void) {
    FILE *refs = fopen("/proc/self/clear_refs", "w");
    fputs("5", refs);
    fclose(refs);
}

int main(int argc, char **argv) {
    unsandbox_config *config = NULL;
    unsandbox_client *client = NULL;
    unsandbox_request *request = NULL;
    unsandbox_health *health = NULL;
    unsandbox_result *result = NULL;
    uint8_t *content = NULL;
    long before = 0;
    if (argc != 3) return 2;
    if (unsandbox_config_new(&config, NULL)
        || unsandbox_config_set_base_url(config, argv[2], strlen(argv[2]), NULL)
        || unsandbox_client_new(config, &client, NULL)
        || unsandbox_client_health(client, NULL, &health, NULL)
        || unsandbox_request_new(UNSANDBOX_TEXT("python"), UNSANDBOX_TEXT("print(1)"), &request, NULL))
        return 3;
    forget_the_peak();
    before = resident("VmRSS");
    if (strcmp(argv[1], "in") == 0) {
        content = malloc(2 * FILE_BYTES);
        memset(content, 'a', 2 * FILE_BYTES);
        if (unsandbox_request_add_input_file(request, "a", 1, content, FILE_BYTES, NULL)
            || unsandbox_request_add_input_file(request, "b", 1, content + FILE_BYTES, FILE_BYTES, NULL))
            return 4;
    }
    if (unsandbox_client_execute(client, request, NULL, &result, NULL)) return 5;
    printf("%ld %zu\n", resident("VmHWM") - before, result->stdout_len);
    unsandbox_result_free(result);
    unsandbox_health_free(health);
    unsandbox_request_free(request);
    unsandbox_client_free(client);
    unsandbox_config_free(config);
    free(content);
    return 0;
}
