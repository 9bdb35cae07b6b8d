#include "thread.h"
#include "status.h"

#include <csignal>
#include <cstddef>

namespace csflow {
namespace {

constexpr std::size_t kStackBytes = 8 << 20;

} // namespace

pthread_t start_quiet_thread(const char *name, void *(*body)(void *), void *argument) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_t thread{};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    // The thread inherits the mask.
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int error = pthread_create(&thread, &attributes, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        fail(CSFLOW_OUT_OF_MEMORY, "cannot start a thread (%d): raise the limit of threads, or free memory", error);
    }
#if defined(__linux__)
    pthread_setname_np(thread, name);
#else
    static_cast<void>(name);
#endif
    return thread;
}

} // namespace csflow
