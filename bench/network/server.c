/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A server that answers every request with the same small reply, as fast as it comes, and keeps its
 * connections; a request with "hang" in its body gets none. Prints its port. */
#include "common.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESULT                                                                                         \
    "{\"success\":true,\"stdout\":\"1\\n\",\"stderr\":\"\",\"exit_code\":0,\"error\":null,"            \
    "\"language\":\"python\",\"job_id\":\"job-1\",\"status\":\"completed\",\"artifacts\":[],"          \
    "\"execution_mode\":\"pooled\",\"network_mode\":\"zerotrust\",\"total_time_ms\":5}"

static char reply[1024];
static size_t reply_len;

static void *serve(void *argument) {
    const int client = (int)(intptr_t)argument;
    char request[8192];
    size_t have = 0;
    for (;;) {
        const ssize_t got = read(client, request + have, sizeof request - 1 - have);
        if (got <= 0) break;
        have += (size_t)got;
        request[have] = 0;
        char *end = strstr(request, "\r\n\r\n");
        if (!end) continue;
        const char *length = strcasestr(request, "content-length:");
        const size_t body = length && length < end ? (size_t)atol(length + 15) : 0;
        if (have < (size_t)(end + 4 - request) + body) continue;
        have = 0;
        if (strstr(end, "hang")) continue;
        if (write(client, reply, reply_len) != (ssize_t)reply_len) break;
    }
    close(client);
    return NULL;
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    signal(SIGPIPE, SIG_IGN);
    reply_len = (size_t)snprintf(reply, sizeof reply,
                                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "Content-Length: %zu\r\n\r\n%s", strlen(RESULT), RESULT);
    if (bind(listener, (struct sockaddr *)&address, len) || listen(listener, 128)
        || getsockname(listener, (struct sockaddr *)&address, &len))
        fail("no listener on the loopback interface");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        const int client = accept(listener, NULL, NULL);
        const int yes = 1;
        pthread_t thread;
        if (client < 0) continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)client)) close(client);
        else pthread_detach(thread);
    }
}
