/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The header alone, twice, in every dialect; its macros by value. */
#include "unsandbox.h"
#include "unsandbox.h"

#if UNSANDBOX_VERSION_NUMBER                                                                         \
    != UNSANDBOX_VERSION_MAJOR * 10000 + UNSANDBOX_VERSION_MINOR * 100 + UNSANDBOX_VERSION_PATCH
#error "UNSANDBOX_VERSION_NUMBER is not made of the three others"
#endif
#if UNSANDBOX_ABI_VERSION < 1
#error "UNSANDBOX_ABI_VERSION starts at 1"
#endif

UNSANDBOX_DEPRECATED("for the test") int old_function(void);
UNSANDBOX_NODISCARD int new_function(void);

int lengths_of(const char *text, size_t len, const char *second, size_t second_len);

int lengths_of(const char *text, size_t len, const char *second, size_t second_len) {
    return text && second && len == UNSANDBOX_NUL_TERMINATED && second_len == len;
}

int two_texts(void);

int two_texts(void) { return lengths_of(UNSANDBOX_TEXT("a"), UNSANDBOX_TEXT("b")); }
