/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The floor: a socket, a write and reads until the reply is there, and nothing made of it. */
#include "common.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static int server;
static char request[512];
static size_t request_len;

static void calls(long count) {
    char reply[4096];
    while (count-- > 0) {
        size_t have = 0;
        if (write(server, request, request_len) != (ssize_t)request_len) fail("write");
        for (;;) {
            const ssize_t got = read(server, reply + have, sizeof reply - 1 - have);
            if (got <= 0) fail("read");
            have += (size_t)got;
            reply[have] = 0;
            const char *end = strstr(reply, "\r\n\r\n");
            const char *length = strcasestr(reply, "content-length:");
            if (end && length && have >= (size_t)(end + 4 - reply) + (size_t)atol(length + 15)) break;
        }
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int yes = 1;
    if (argc != 2) return 2;
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    server = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(server, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    request_len = (size_t)snprintf(request, sizeof request,
                                   "POST /execute HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer "
                                   KEY "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                   argv[1], strlen(BODY), BODY);
    serve_lines(calls);
    return 0;
}
