/* A check that also counts in release builds, unlike assert. */
#ifndef CSFLOW_TEST_CHECK_H
#define CSFLOW_TEST_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                             \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            fprintf(stderr, "%s:%d: %s\n  last error: %s\n", __FILE__, __LINE__, #condition, csflow_last_error());    \
            exit(1);                                                                                                 \
        }                                                                                                            \
    } while (0)

#endif
