/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Submits a program as a job, looks at it while it runs, and waits for its end.
 * cc job.c $(pkg-config --cflags --libs unsandbox) -o job */
#include <stdio.h>
#include <unsandbox.h>

static int follow(const unsandbox_client *client, const unsandbox_request *request,
                  unsandbox_error **err) {
    unsandbox_job *job = NULL, *now = NULL;
    unsandbox_result *result = NULL;
    int status = unsandbox_client_execute_async(client, request, NULL, &job, err);

    if (status == UNSANDBOX_OK)
        status = unsandbox_client_get_job(client, job->job_id, job->job_id_len, NULL, &now, err);
    if (status == UNSANDBOX_OK) {
        printf("the job is %s\n", now->result ? "over already" : "under way");
        status =
            unsandbox_client_wait_job(client, job->job_id, job->job_id_len, NULL, &result, err);
    }
    if (status == UNSANDBOX_OK)
        printf("it is %s, exit code %d: %s", result->status_text, result->exit_code,
               result->stdout_data);
    unsandbox_result_free(result);
    unsandbox_job_free(now);
    unsandbox_job_free(job);
    return status;
}

int main(void) {
    unsandbox_error *err = NULL;
    unsandbox_client *client = NULL;
    unsandbox_request *request = NULL;
    int status = unsandbox_client_from_env(&client, &err);
    if (status == UNSANDBOX_OK)
        status = unsandbox_request_new(UNSANDBOX_TEXT("bash"),
                                       UNSANDBOX_TEXT("sleep 0.2; echo finished"), &request, &err);
    if (status == UNSANDBOX_OK) status = unsandbox_request_set_ttl(request, 30, &err);
    if (status == UNSANDBOX_OK) status = follow(client, request, &err);
    if (status != UNSANDBOX_OK) fprintf(stderr, "%s\n", unsandbox_error_message(err, NULL));
    unsandbox_request_free(request);
    unsandbox_client_free(client);
    unsandbox_error_free(err);
    return status != UNSANDBOX_OK;
}
