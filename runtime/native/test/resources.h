// What a process holds, for tests that must leave nothing behind.
#pragma once

#include <cstdlib>
#include <dirent.h>
#include <fstream>

namespace csflow_test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true; // memory and stacks are the sanitizer's then
#else
constexpr bool kSanitized = false;
#endif

inline std::size_t descriptors() {
    std::size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != nullptr && readdir(folder) != nullptr) {
        ++count;
    }
    if (folder != nullptr) {
        closedir(folder);
    }
    return count;
}

// 0 where a sanitizer's or an emulator's memory is counted with ours.
inline long resident_pages() {
    long size = 0;
    long resident = 0;
    std::ifstream("/proc/self/statm") >> size >> resident;
    return kSanitized || std::getenv("CSFLOW_TEST_EMULATED") != nullptr ? 0 : resident;
}

} // namespace csflow_test
