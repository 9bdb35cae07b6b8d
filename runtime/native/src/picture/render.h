// The anomaly map, enlarged to the picture as Pillow's resize(..., BILINEAR) enlarges a float picture.
#pragma once

#include "engine/engine.h"

namespace csflow {

/// Write width * height float32, rows `row_stride` bytes apart: the map over `region`, 0 outside. No allocation.
void render(const Map &map, const Roi &region, float *out, std::int64_t row_stride, std::int32_t width,
            std::int32_t height) noexcept;

} // namespace csflow
