/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Submits a program as a job, tells how it is while it runs, and takes its result at the end.
 * cc job.c $(pkg-config --cflags --libs unsandbox) -o job */
#include <stdio.h>
#include <unsandbox.h>

/* UNSANDBOX_ERR_TIMEOUT where the job is not over within a fifth of a second. */
static int wait_a_little(const unsandbox_client *client, const unsandbox_job *job,
                         unsandbox_result **result, unsandbox_error **err) {
    unsandbox_options *options = NULL;
    int status = unsandbox_options_new(&options, err);
    if (status == UNSANDBOX_OK) status = unsandbox_options_set_timeout_ms(options, 200, err);
    if (status == UNSANDBOX_OK)
        status = unsandbox_client_wait_job(client, job->job_id, job->job_id_len, options, result, err);
    unsandbox_options_free(options);
    return status;
}

static int follow(const unsandbox_client *client, const unsandbox_job *job, unsandbox_error **err) {
    unsandbox_result *result = NULL;
    int status;
    while ((status = wait_a_little(client, job, &result, err)) == UNSANDBOX_ERR_TIMEOUT) {
        unsandbox_job *now = NULL;
        unsandbox_error_free(*err);
        *err = NULL;
        status = unsandbox_client_get_job(client, job->job_id, job->job_id_len, NULL, &now, err);
        if (status != UNSANDBOX_OK) return status;
        printf("it is %s\n", now->status_text);
        unsandbox_job_free(now);
    }
    if (status == UNSANDBOX_OK)
        printf("it ended with %d: %s", result->exit_code, result->stdout_data);
    unsandbox_result_free(result);
    return status;
}

int main(void) {
    unsandbox_error *err = NULL;
    unsandbox_client *client = NULL;
    unsandbox_request *request = NULL;
    unsandbox_job *job = NULL;
    int status = unsandbox_client_from_env(&client, &err);
    if (status == UNSANDBOX_OK)
        status = unsandbox_request_new(UNSANDBOX_TEXT("bash"), UNSANDBOX_TEXT("sleep 1; echo finished"),
                                       &request, &err);
    if (status == UNSANDBOX_OK) status = unsandbox_request_set_ttl(request, 30, &err);
    if (status == UNSANDBOX_OK)
        status = unsandbox_client_execute_async(client, request, NULL, &job, &err);
    if (status == UNSANDBOX_OK) status = follow(client, job, &err);
    if (status != UNSANDBOX_OK) fprintf(stderr, "%s\n", unsandbox_error_message(err, NULL));
    unsandbox_job_free(job);
    unsandbox_request_free(request);
    unsandbox_client_free(client);
    unsandbox_error_free(err);
    return status != UNSANDBOX_OK;
}
