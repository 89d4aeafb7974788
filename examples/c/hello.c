/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Runs one program and prints what it wrote.
 * cc hello.c $(pkg-config --cflags --libs unsandbox) -o hello */
#include <stdio.h>
#include <unsandbox.h>

int main(void) {
    unsandbox_error *err = NULL;
    unsandbox_client *client = NULL;
    unsandbox_request *request = NULL;
    unsandbox_result *result = NULL;
    int code = 1;

    if (unsandbox_client_from_env(&client, &err) == UNSANDBOX_OK
        && unsandbox_request_new(UNSANDBOX_TEXT("python"), UNSANDBOX_TEXT("print(6 * 7)"), &request,
                                 &err) == UNSANDBOX_OK
        && unsandbox_client_execute(client, request, NULL, &result, &err) == UNSANDBOX_OK) {
        fwrite(result->stdout_data, 1, result->stdout_len, stdout);
        code = result->exit_code;
    } else {
        fprintf(stderr, "%s\n", unsandbox_error_message(err, NULL));
    }
    unsandbox_result_free(result);
    unsandbox_request_free(request);
    unsandbox_client_free(client);
    unsandbox_error_free(err);
    return code;
}
