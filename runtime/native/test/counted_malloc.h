// The C library's allocators, replaced for the whole process: each call is counted. For one source of a program.
#pragma once

#include <cerrno>
#include <cstdlib>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

namespace csflow_test {

/// What the program does for each call; it may not allocate.
void count_one() noexcept;

} // namespace csflow_test

#if !defined(SANITIZED) && defined(__GLIBC__)
// operator new and strdup come here too.
extern "C" {
void *__libc_malloc(std::size_t);
void *__libc_calloc(std::size_t, std::size_t);
void *__libc_realloc(void *, std::size_t);
void *__libc_memalign(std::size_t, std::size_t);
void *malloc(std::size_t size) {
    csflow_test::count_one();
    return __libc_malloc(size);
}
void *calloc(std::size_t count, std::size_t size) {
    csflow_test::count_one();
    return __libc_calloc(count, size);
}
void *realloc(void *memory, std::size_t size) {
    csflow_test::count_one();
    return __libc_realloc(memory, size);
}
void *memalign(std::size_t alignment, std::size_t size) {
    csflow_test::count_one();
    return __libc_memalign(alignment, size);
}
void *aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void **out, std::size_t alignment, std::size_t size) {
    *out = memalign(alignment, size);
    return *out != nullptr ? 0 : ENOMEM;
}
}
#endif
