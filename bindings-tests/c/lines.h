// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The lines of a driver of the table of cases: reads blocks, and prints what came back. Their form is in
// table/lines.py.

#ifndef CASES_LINES_H
#define CASES_LINES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 4, LINES_MAX = 64, SHOWN_MAX = 65536 };

typedef struct {
    uint8_t *data; /* with a NUL behind it */
    size_t len;
} word;

typedef struct {
    word words[WORDS_MAX];
    size_t count;
} line;

typedef struct {
    line lines[LINES_MAX];
    size_t count;
    char *settings; /* the lines of the client's settings, by which it is found again */
} block;

static void *need(void *memory) {
    if (!memory) abort();
    return memory;
}

static void die(const char *what, const char *which) {
    fprintf(stderr, "%s: %s\n", what, which);
    exit(1);
}

/* ---- reading ---- */

static unsigned digit(char c) { return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10); }

static word decode(const char *text) {
    size_t count = 1;
    if (text[0] == '%' && text[1] == '*') {
        char *rest;
        count = strtoul(text + 2, &rest, 10);
        text = rest + 1;
    }
    uint8_t *once = need(malloc(strlen(text) + 1));
    size_t len = 0;
    for (const char *at = text; *at; at++) {
        if (*at == '%') {
            once[len++] = (uint8_t)(16 * digit(at[1]) + digit(at[2]));
            at += 2;
        } else {
            once[len++] = (uint8_t)*at;
        }
    }
    word made = {need(malloc(len * count + 1)), len * count};
    for (size_t i = 0; i < count; i++) memcpy(made.data + i * len, once, len);
    made.data[made.len] = 0;
    free(once);
    return made;
}

static const char *text(const word *it) { return (const char *)it->data; }

static int is(const word *it, const char *name) { return strcmp(text(it), name) == 0; }

static void read_line(block *to, char *raw) {
    if (strncmp(raw, "set ", 4) == 0) {
        to->settings = need(realloc(to->settings, strlen(to->settings) + strlen(raw) + 1));
        strcat(to->settings, raw);
    }
    if (to->count == LINES_MAX) die("too many lines", raw);
    line *made = &to->lines[to->count++];
    for (char *at = raw; at;) {
        char *space = strchr(at, ' ');
        if (space) *space = 0;
        if (made->count == WORDS_MAX) die("too many words", raw);
        made->words[made->count++] = decode(at);
        at = space ? space + 1 : NULL;
    }
}

/* Whether there was a further block. */
static int read_block(block *to) {
    char *raw = NULL;
    size_t room = 0;
    ssize_t len;
    memset(to, 0, sizeof *to);
    to->settings = need(calloc(1, 1));
    while ((len = getline(&raw, &room, stdin)) > 0) {
        if (raw[len - 1] == '\n') raw[len - 1] = 0;
        if (strcmp(raw, "end") == 0) break;
        read_line(to, raw);
    }
    free(raw);
    return to->count > 0;
}

static void free_block(block *it) {
    for (size_t i = 0; i < it->count; i++)
        for (size_t j = 0; j < it->lines[i].count; j++) free(it->lines[i].words[j].data);
    free(it->settings);
}

/* The first value of a line, or NULL. */
static const word *said(const block *from, const char *name) {
    static const word empty = {(uint8_t *)"", 0};
    for (size_t i = 0; i < from->count; i++) {
        const line *it = &from->lines[i];
        if (is(&it->words[0], name)) return it->count > 1 ? &it->words[1] : &empty;
    }
    return NULL;
}

static uint64_t number(const word *it) { return it ? strtoull(text(it), NULL, 10) : 0; }

/* ---- printing ---- */

static void put(const char *key) { fputs(key, stdout); }

static void put_word(const void *data, size_t len) {
    const uint8_t *bytes = data;
    putchar(' ');
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] > 0x20 && bytes[i] < 0x7f && bytes[i] != '%') {
            putchar(bytes[i]);
        } else {
            printf("%%%02X", bytes[i]);
        }
    }
}

static void put_text(const char *key, const char *data, size_t len) {
    if (!data) return;
    put(key);
    put_word(data, len);
    putchar('\n');
}

static void put_number(const char *key, int64_t value) { printf("%s %lld\n", key, (long long)value); }

static void put_stream(const char *key, const char *data, size_t len) {
    put_text(key, data, len < SHOWN_MAX ? len : SHOWN_MAX);
    printf("%s_len %zu\n", key, len);
}

#endif
