/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Gives a program an input file, and takes back what it leaves in its directory "artifacts".
 * cc files.c $(pkg-config --cflags --libs unsandbox) -o files && ./files DIRECTORY */
#include <stdio.h>
#include <string.h>
#include <unsandbox.h>

static const char *code =
    "total = sum(int(line) for line in open('numbers.txt'))\n"
    "import os; os.makedirs('artifacts', exist_ok=True)\n"
    "open('artifacts/total.txt', 'w').write(f'{total}\\n')\n"
    "print('added up', total)\n";

static int run(const unsandbox_client *client, const char *directory, unsandbox_error **err) {
    const char *numbers = "1\n2\n39\n";
    unsandbox_request *request = NULL;
    unsandbox_result *result = NULL;
    size_t i;
    int status = unsandbox_request_new(UNSANDBOX_TEXT("python"), UNSANDBOX_TEXT(code), &request, err);

    if (status == UNSANDBOX_OK)
        status = unsandbox_request_add_input_file(request, UNSANDBOX_TEXT("numbers.txt"),
                                                  (const uint8_t *)numbers, strlen(numbers), err);
    if (status == UNSANDBOX_OK)
        status = unsandbox_client_execute(client, request, NULL, &result, err);
    if (status == UNSANDBOX_OK) {
        printf("%s%s", result->stdout_data, result->stderr_data);
        for (i = 0; i < result->artifact_count && status == UNSANDBOX_OK; i++) {
            const unsandbox_artifact *artifact = result->artifacts[i];
            status = unsandbox_artifact_save(artifact, UNSANDBOX_TEXT(directory), err);
            if (status == UNSANDBOX_OK)
                printf("saved %s, %zu bytes\n", artifact->safe_filename, artifact->content_len);
        }
    }
    unsandbox_result_free(result);
    unsandbox_request_free(request);
    return status;
}

int main(int argc, char **argv) {
    unsandbox_error *err = NULL;
    unsandbox_client *client = NULL;
    int status = unsandbox_client_from_env(&client, &err);
    if (status == UNSANDBOX_OK) status = run(client, argc > 1 ? argv[1] : ".", &err);
    if (status != UNSANDBOX_OK) fprintf(stderr, "%s\n", unsandbox_error_message(err, NULL));
    unsandbox_client_free(client);
    unsandbox_error_free(err);
    return status != UNSANDBOX_OK;
}
