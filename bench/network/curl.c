/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* libcurl's easy interface: one handle, kept alive, the reply put together and not parsed. */
#include "common.h"

#include <curl/curl.h>

static CURL *handle;
static char reply[4096];
static size_t reply_len;

static size_t take(char *bytes, size_t size, size_t count, void *user) {
    (void)user;
    if (reply_len + size * count > sizeof reply) return 0;
    memcpy(reply + reply_len, bytes, size * count);
    reply_len += size * count;
    return size * count;
}

static void calls(long count) {
    long status = 0;
    while (count-- > 0) {
        reply_len = 0;
        if (curl_easy_perform(handle) != CURLE_OK) fail("curl_easy_perform");
        curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
        if (status != 200 || reply_len == 0) fail("not the reply");
    }
}

int main(int argc, char **argv) {
    char url[64];
    struct curl_slist *headers = NULL;
    if (argc != 2) return 2;
    snprintf(url, sizeof url, "http://127.0.0.1:%s/execute", argv[1]);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    handle = curl_easy_init();
    headers = curl_slist_append(headers, "Authorization: Bearer " KEY);
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(handle, CURLOPT_URL, url);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, BODY);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, 60000L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    serve_lines(calls);
    curl_slist_free_all(headers);
    curl_easy_cleanup(handle);
    curl_global_cleanup();
    return 0;
}
