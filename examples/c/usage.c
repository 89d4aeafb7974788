/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Runs a program, and tells what runs now, what may run at once, and what has ended.
 * cc usage.c $(pkg-config --cflags --libs unsandbox) -o usage */
#include <inttypes.h>
#include <stdio.h>
#include <unsandbox.h>

int main(void) {
    unsandbox_error *err = NULL;
    unsandbox_client *client = NULL;
    unsandbox_request *request = NULL;
    unsandbox_result *result = NULL;
    unsandbox_usage *usage = NULL;
    size_t i;
    int status = unsandbox_client_from_env(&client, &err);
    if (status == UNSANDBOX_OK)
        status = unsandbox_request_new(UNSANDBOX_TEXT("bash"), UNSANDBOX_TEXT("echo done"), &request, &err);
    if (status == UNSANDBOX_OK) status = unsandbox_client_execute(client, request, NULL, &result, &err);
    if (status == UNSANDBOX_OK) status = unsandbox_client_usage(client, NULL, &usage, &err);
    if (status == UNSANDBOX_OK)
        printf("%" PRIu64 " of %" PRIu64 " run\n", unsandbox_usage_running(usage), unsandbox_usage_concurrency(usage));
    for (i = 0; i < unsandbox_usage_status_count(usage); i++)
        printf("%" PRIu64 " %s\n", unsandbox_usage_status_runs(usage, i), unsandbox_usage_status(usage, i, NULL));
    if (status != UNSANDBOX_OK) fprintf(stderr, "%s\n", unsandbox_error_message(err, NULL));
    unsandbox_usage_free(usage);
    unsandbox_result_free(result);
    unsandbox_request_free(request);
    unsandbox_client_free(client);
    unsandbox_error_free(err);
    return status != UNSANDBOX_OK;
}
