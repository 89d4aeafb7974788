/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Prints what happened to a job itself, and its output in one piece. */
#ifndef EVENTS_H
#define EVENTS_H

#include <unsandbox.h>

#include "lines.h"

/* What is collected of the events. */
typedef struct {
    word kinds;
    word streams[2];
} told;

static void append(word *to, const void *data, size_t len) {
    to->data = need(realloc(to->data, to->len + len + 1));
    if (len) memcpy(to->data + to->len, data, len);
    to->len += len;
    to->data[to->len] = 0;
}

static void take_event(told *all, const unsandbox_event *event) {
    static const char *const kinds[] = {"other", "queued", "started", "output", "gap", "finished"};
    int32_t kind = unsandbox_event_kind(event);
    if (kind == UNSANDBOX_EVENT_OUTPUT) {
        size_t len;
        const uint8_t *data = unsandbox_event_data(event, &len);
        append(&all->streams[unsandbox_event_stream(event) == UNSANDBOX_STREAM_STDERR], data, len);
        return;
    }
    if (all->kinds.len) append(&all->kinds, " ", 1);
    append(&all->kinds, kinds[kind], strlen(kinds[kind]));
}

static void put_told(told *all) {
    append(&all->streams[0], NULL, 0);
    append(&all->streams[1], NULL, 0);
    put_text("event_kinds", text(&all->kinds), all->kinds.len);
    put_stream("stdout", text(&all->streams[0]), all->streams[0].len);
    put_stream("stderr", text(&all->streams[1]), all->streams[1].len);
}

static void free_told(told *all) {
    free(all->kinds.data);
    free(all->streams[0].data);
    free(all->streams[1].data);
}

#endif
