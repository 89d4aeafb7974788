/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Prints the usage of a key, field by field. */
#ifndef USAGE_H
#define USAGE_H

#include <unsandbox.h>

#include "lines.h"

/* The names of a list, each perhaps with "=" and its number. */
static void put_list(const char *key, const unsandbox_usage *usage, size_t count,
                     const char *(*name)(const unsandbox_usage *, size_t, size_t *),
                     uint64_t (*value)(const unsandbox_usage *, size_t)) {
    char text[1024] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof text; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "", name(usage, i, NULL));
        if (value && used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "=%llu", (unsigned long long)value(usage, i));
    }
    if (used >= sizeof text) die("too long a list", key);
    put_text(key, text, used);
}

static void put_usage(const unsandbox_usage *usage) {
    size_t len;
    const char *key = unsandbox_usage_key(usage, &len);
    put_text("usage_key", key, len);
    put_number("usage_running", (int64_t)unsandbox_usage_running(usage));
    put_number("usage_waiting", (int64_t)unsandbox_usage_waiting(usage));
    put_number("usage_kept_jobs", (int64_t)unsandbox_usage_kept_jobs(usage));
    put_number("usage_kept_bytes", (int64_t)unsandbox_usage_kept_bytes(usage));
    if (unsandbox_usage_has_requests_remaining(usage))
        put_number("usage_requests_remaining", (int64_t)unsandbox_usage_requests_remaining(usage));
    put_number("usage_since", unsandbox_usage_since(usage));
    put_list("usage_runs", usage, unsandbox_usage_status_count(usage), unsandbox_usage_status,
             unsandbox_usage_status_runs);
    put_number("usage_cpu_time_ms", (int64_t)unsandbox_usage_cpu_time_ms(usage));
    put_number("usage_wall_time_ms", (int64_t)unsandbox_usage_wall_time_ms(usage));
    put_number("usage_concurrency", (int64_t)unsandbox_usage_concurrency(usage));
    put_number("usage_reserved", (int64_t)unsandbox_usage_reserved(usage));
    put_number("usage_queue", (int64_t)unsandbox_usage_queue(usage));
    put_number("usage_weight", (int64_t)unsandbox_usage_weight(usage));
    if (unsandbox_usage_has_requests_per_minute(usage))
        put_number("usage_requests_per_minute", (int64_t)unsandbox_usage_requests_per_minute(usage));
    if (unsandbox_usage_has_burst(usage)) put_number("usage_burst", (int64_t)unsandbox_usage_burst(usage));
    put_number("usage_max_ttl", unsandbox_usage_max_ttl(usage));
    put_list("usage_max_limits", usage, unsandbox_usage_max_limit_count(usage), unsandbox_usage_max_limit_name,
             unsandbox_usage_max_limit);
    const char *network_mode = unsandbox_usage_network_mode(usage, &len);
    put_text("usage_network_mode", network_mode, len);
    if (unsandbox_usage_has_languages(usage))
        put_list("usage_languages", usage, unsandbox_usage_language_count(usage), unsandbox_usage_language, NULL);
}

#endif
