// Of what size the pictures were that a bundle was made with. The twin of csflow.runtime.bundle.pictures.
#pragma once

#include "bundle/bundle.h"

namespace csflow {

class SizeRule {
public:
    /// What the bundle knows. BUNDLE_CORRUPTED: its record of those pictures cannot be read.
    explicit SizeRule(const Bundle &bundle);

    /// SOURCE_ERROR: pictures of width x height pixels show something else.
    void require(std::int32_t width, std::int32_t height) const;

private:
    const char *misfit(std::int64_t width, std::int64_t height) const noexcept;
    void parse(const Json &value, const std::string &where);

    bool known_ = false, varied_ = false, exact_ = false;
    std::int64_t width_[2]{}, height_[2]{}; // pixels, the least and the largest
    double aspect_[2]{};                    // width / height
};

} // namespace csflow
