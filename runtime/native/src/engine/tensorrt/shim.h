// Between libcsflow and the part of it that is compiled once for each major version of TensorRT, whose classes differ
// in their virtual functions from one to the next.
#pragma once

#include "engine/cuda_driver.h"

namespace csflow {

/// The plans of a bundle on the GPU, one frame at a time.
class TrtSession {
public:
    virtual ~TrtSession() = default;
    virtual std::uint8_t *input() noexcept = 0;   // (S, S, 3) in pinned memory
    virtual const float *map() const noexcept = 0; // (map_height, map_width) in pinned memory
    virtual std::int32_t map_width() const noexcept = 0;
    virtual std::int32_t map_height() const noexcept = 0;
    /// False with words in `error`. Where a tensor between two plans is not finite, score and map are NaN.
    virtual bool infer(float *score, char *error, std::size_t size) noexcept = 0;
};

struct TrtConfig {
    const void *const *plans; // in running order; tensors are joined by their names
    const std::size_t *sizes;
    std::size_t count;
    std::int32_t image_size;
    void *(*create_runtime)(void *logger, std::int32_t version); // createInferRuntime_INTERNAL
    const CudaDriver *cuda;
};

/// `csflow_trt_open` of a shim: null with words in `error`.
using TrtOpen = TrtSession *(*)(const TrtConfig *config, char *error, std::size_t size);

} // namespace csflow
