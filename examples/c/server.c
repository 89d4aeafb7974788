/* SPDX-License-Identifier: MIT OR Apache-2.0
 * A server that runs a program of each caller: one client for its whole life, and limits on each program.
 * It ends when its standard input does.
 * cc server.c $(pkg-config --cflags --libs unsandbox) -lpthread -o server */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <unsandbox.h>

enum { THREADS = 4, CODE_MAX = 65536 };

typedef struct {
    unsandbox_client *client;
    int listener;
} server;

static void send_all(int connection, const char *data, size_t len) {
    while (len > 0) {
        ssize_t sent = send(connection, data, len, MSG_NOSIGNAL);
        if (sent <= 0) return;
        data += sent;
        len -= (size_t)sent;
    }
}

static size_t receive_all(int connection, char *data, size_t room) {
    size_t len = 0;
    ssize_t got;
    while (len < room && (got = recv(connection, data + len, room - len, 0)) > 0) len += (size_t)got;
    return len;
}

/* What comes until the caller closes its side is a program; what the program writes goes back. */
static void answer(const unsandbox_client *client, int connection) {
    char code[CODE_MAX];
    size_t len = receive_all(connection, code, sizeof code);
    unsandbox_error *err = NULL;
    unsandbox_request *request = NULL;
    unsandbox_result *result = NULL;
    int status = unsandbox_request_new(UNSANDBOX_TEXT("python"), code, len, &request, &err);

    if (status == UNSANDBOX_OK) status = unsandbox_request_set_ttl(request, 5, &err);
    if (status == UNSANDBOX_OK)
        status = unsandbox_request_set_limit(request, UNSANDBOX_TEXT("memory_bytes"), 256 << 20, &err);
    if (status == UNSANDBOX_OK)
        status = unsandbox_client_execute(client, request, NULL, &result, &err);
    if (status == UNSANDBOX_OK) {
        send_all(connection, result->stdout_data, result->stdout_len);
        send_all(connection, result->stderr_data, result->stderr_len);
    } else {
        size_t message_len;
        const char *message = unsandbox_error_message(err, &message_len);
        send_all(connection, message, message_len);
    }
    unsandbox_result_free(result);
    unsandbox_request_free(request);
    unsandbox_error_free(err);
}

static void *serve(void *data) {
    const server *it = data;
    int connection;
    while ((connection = accept(it->listener, NULL, NULL)) >= 0) {
        answer(it->client, connection);
        close(connection);
    }
    return NULL;
}

static int listen_on_loopback(void) {
    struct sockaddr_in address = {0};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0
        || listen(listener, 16) != 0 || getsockname(listener, (struct sockaddr *)&address, &len) != 0) {
        perror("no server");
        exit(1);
    }
    printf("listening on port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(void) {
    unsandbox_error *err = NULL;
    server it = {NULL, -1};
    pthread_t threads[THREADS];
    int i;

    if (unsandbox_client_from_env(&it.client, &err) != UNSANDBOX_OK) {
        fprintf(stderr, "%s\n", unsandbox_error_message(err, NULL));
        unsandbox_error_free(err);
        return 1;
    }
    it.listener = listen_on_loopback();
    for (i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, serve, &it) != 0) abort();

    while (getchar() != EOF) {
    }
    shutdown(it.listener, SHUT_RDWR);  /* no more callers: accept() fails */
    unsandbox_client_close(it.client); /* and no more programs: those that run are ended */
    for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    close(it.listener);
    unsandbox_client_free(it.client);
    return 0;
}
