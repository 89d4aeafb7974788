/* SPDX-License-Identifier: MIT OR Apache-2.0
 * A program as users of 0.1 wrote it: the whole way from a client to a result, by struct and by getter.
 * Its argument is the endpoint. */
#include "unsandbox.h"

#include <stdio.h>
#include <string.h>

static int fail(const char *what, unsandbox_error *err) {
    fprintf(stderr, "%s: %s: %s\n", what, unsandbox_error_name(err, NULL),
            unsandbox_error_message(err, NULL));
    unsandbox_error_free(err);
    return 1;
}

static int check(const unsandbox_result *result) {
    size_t len = 0;
    const char *out = unsandbox_result_stdout(result, &len);
    return result->success == 1 && unsandbox_result_success(result) == 1
        && result->status == UNSANDBOX_STATUS_COMPLETED && result->has_exit_code == 1
        && result->exit_code == 0 && len == 3 && result->stdout_len == 3
        && memcmp(out, "42\n", 4) == 0 && memcmp(result->stdout_data, out, len) == 0;
}

int main(int argc, char **argv) {
    unsandbox_error *err = NULL;
    unsandbox_config *config = NULL;
    unsandbox_client *client = NULL;
    unsandbox_request *request = NULL;
    unsandbox_result *result = NULL;
    int good;

    if (argc != 2) return 2;
    if (unsandbox_abi_version() < UNSANDBOX_ABI_VERSION) return 3;
    if (unsandbox_config_new(&config, &err)
        || unsandbox_config_set_base_url(config, UNSANDBOX_TEXT(argv[1]), &err)
        || unsandbox_client_new(config, &client, &err))
        return fail("client", err);
    unsandbox_config_free(config);
    if (unsandbox_request_new(UNSANDBOX_TEXT("python"), UNSANDBOX_TEXT("print(6 * 7)"), &request, &err)
        || unsandbox_request_add_env(request, UNSANDBOX_TEXT("A"), UNSANDBOX_TEXT("1"), &err)
        || unsandbox_request_set_ttl(request, 10, &err))
        return fail("request", err);
    if (unsandbox_client_execute(client, request, NULL, &result, &err)) return fail("execute", err);
    good = check(result);
    unsandbox_result_free(result);
    if (unsandbox_request_set_ttl(request, 901, NULL) != UNSANDBOX_OK
        || unsandbox_client_execute(client, request, NULL, &result, &err) != UNSANDBOX_ERR_ARGUMENT
        || unsandbox_error_code(err) != UNSANDBOX_ERR_ARGUMENT)
        good = 0;
    unsandbox_error_free(err);
    unsandbox_request_free(request);
    unsandbox_client_free(client);
    puts(good ? "good" : "not as it was");
    return good ? 0 : 4;
}
