/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Does what the sanitizers are to find, in memory that the library has made: guilty leak|overflow|undefined.
 * If nobody complains of this program, their silence about the others means nothing. */
#include <unsandbox.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    unsandbox_request *request = NULL;
    unsandbox_client *client = NULL;
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "leak") == 0) {
        int status = unsandbox_request_new(UNSANDBOX_TEXT("bash"), UNSANDBOX_TEXT("true"), &request, NULL);
        request = NULL;
        return status;
    }
    if (strcmp(what, "overflow") == 0 && unsandbox_client_from_env(&client, NULL) == UNSANDBOX_OK) {
        size_t len = 0;
        const volatile char *endpoint = unsandbox_client_endpoint(client, &len);
        putchar(endpoint[len + 1]); /* past the NUL */
        unsandbox_client_free(client);
    }
    if (strcmp(what, "undefined") == 0) printf("%d\n", INT_MAX - 1 + argc);
    return 0;
}
