/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Runs programs from an event loop: each task has a descriptor, which poll() finds readable at its end.
 * cc events.c $(pkg-config --cflags --libs unsandbox) -o events */
#include <poll.h>
#include <stdio.h>
#include <unsandbox.h>

enum { TASKS = 3 };

static const char *const programs[TASKS] = {"sleep 0.3; echo one", "sleep 0.2; echo two", "echo three"};

static int start(const unsandbox_client *client, const char *code, unsandbox_task **task,
                 struct pollfd *watched, unsandbox_error **err) {
    unsandbox_request *request = NULL;
    int status = unsandbox_request_new(UNSANDBOX_TEXT("bash"), UNSANDBOX_TEXT(code), &request, err);
    if (status == UNSANDBOX_OK)
        status = unsandbox_task_start(client, request, NULL, NULL, NULL, task, err);
    if (status == UNSANDBOX_OK) status = unsandbox_task_fd(*task, &watched->fd, err);
    watched->events = POLLIN;
    unsandbox_request_free(request);
    return status;
}

/* Takes what a task has come to, which does not block once its descriptor is readable. */
static int finish(const unsandbox_task *task, unsandbox_error **err) {
    unsandbox_result *result = NULL;
    int status = unsandbox_task_wait(task, 0, &result, err);
    if (status == UNSANDBOX_OK) printf("a program wrote %s", result->stdout_data);
    unsandbox_result_free(result);
    return status;
}

static int loop(const unsandbox_client *client, unsandbox_task **tasks, unsandbox_error **err) {
    struct pollfd watched[TASKS];
    int i, left = TASKS, status = UNSANDBOX_OK;
    for (i = 0; i < TASKS && status == UNSANDBOX_OK; i++)
        status = start(client, programs[i], &tasks[i], &watched[i], err);
    /* The descriptors of a program's own sockets and timers would stand beside these. */
    while (left > 0 && status == UNSANDBOX_OK) {
        if (poll(watched, TASKS, -1) < 0) continue;
        for (i = 0; i < TASKS && status == UNSANDBOX_OK; i++) {
            if (!watched[i].revents) continue;
            status = finish(tasks[i], err);
            watched[i].fd = -1; /* poll passes over it */
            left--;
        }
    }
    return status;
}

int main(void) {
    unsandbox_error *err = NULL;
    unsandbox_client *client = NULL;
    unsandbox_task *tasks[TASKS] = {NULL};
    int i, status = unsandbox_client_from_env(&client, &err);
    if (status == UNSANDBOX_OK) status = loop(client, tasks, &err);
    if (status != UNSANDBOX_OK) fprintf(stderr, "%s\n", unsandbox_error_message(err, NULL));
    for (i = 0; i < TASKS; i++) unsandbox_task_free(tasks[i]);
    unsandbox_client_free(client);
    unsandbox_error_free(err);
    return status != UNSANDBOX_OK;
}
