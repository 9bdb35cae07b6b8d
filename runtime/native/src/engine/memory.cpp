#include "engine/memory.h"

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace csflow {

void return_free_memory() noexcept {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

void return_mapped_pages([[maybe_unused]] const std::string &folder) {
#if defined(MADV_PAGEOUT)
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::uintptr_t start = 0, end = 0;
        const bool blob = line.size() > 5 && line.compare(line.size() - 5, 5, ".blob") == 0;
        if (blob && line.find(folder) != std::string::npos &&
            std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &start, &end) == 2) {
            // Refused by a kernel before 5.4: then they stay until the system needs the room.
            (void)madvise(reinterpret_cast<void *>(start), end - start, MADV_PAGEOUT);
        }
    }
#endif
}

} // namespace csflow
