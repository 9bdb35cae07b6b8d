/* A check that also counts in release builds, unlike assert. */
#ifndef CSFLOW_TEST_CHECK_H
#define CSFLOW_TEST_CHECK_H

#include "csflow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                             \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            char said_[512];                                                                                         \
            csflow_last_error(0, said_, sizeof said_);                                                               \
            fprintf(stderr, "%s:%d: %s\n  last error: %s\n", __FILE__, __LINE__, #condition, said_);                 \
            exit(1);                                                                                                 \
        }                                                                                                            \
    } while (0)

/* The last error of a detector (0: of this thread) speaks of `words`. */
static inline int says(csflow_detector detector, const char *words) {
    char said[512];
    csflow_last_error(detector, said, sizeof said);
    return strstr(said, words) != NULL;
}

#endif
