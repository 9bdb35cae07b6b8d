// Threads inside the library.
#pragma once

#include <pthread.h>

namespace csflow {

/// Start a thread to which no signal of the host is ever delivered. OUT_OF_MEMORY: there can be none.
pthread_t start_quiet_thread(const char *name, void *(*body)(void *), void *argument);

} // namespace csflow
