// The functions of NVIDIA's driver that are used, loaded at run time; its C interface never changes for a given name.
#pragma once

#include "engine/library.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace csflow {

struct CudaDriver {
    /// Load libcuda.so.1 and initialise it. BACKEND_UNAVAILABLE: no driver, or no GPU.
    CudaDriver();

    /// Of GPU 0, such as "8.7".
    std::string compute_capability() const;

    const Library library;
    int (*init)(unsigned);
    int (*device_count)(int *);
    int (*device)(int *, int);
    int (*attribute)(int *, int, int);
    int (*retain_context)(void **, int);
    int (*release_context)(int);
    int (*push_context)(void *);
    int (*pop_context)(void **);
    int (*allocate)(std::uint64_t *, std::size_t);
    int (*release)(std::uint64_t);
    int (*allocate_host)(void **, std::size_t, unsigned);
    int (*release_host)(void *);
    int (*copy_in)(std::uint64_t, const void *, std::size_t, void *);
    int (*copy_out)(void *, std::uint64_t, std::size_t, void *);
    int (*create_stream)(void **, unsigned);
    int (*destroy_stream)(void *);
    int (*synchronise)(void *);
};

} // namespace csflow
