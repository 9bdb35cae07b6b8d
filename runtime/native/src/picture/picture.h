// A caller's csflow_image, checked, cut to the region of interest, ready for the resizer.
#pragma once

#include "bundle/bundle.h"
#include "picture/resize.h"

namespace csflow {

/// Which pictures are accepted.
struct PictureLimits {
    Roi roi;
    std::vector<Roi> ignore;
    std::int32_t max_width, max_height;
    std::vector<std::uint8_t> levels; // what each of 65,536 levels becomes; empty: pictures of 8 bits alone
    std::int32_t exposure;            // as the manifest's
};

/// The table of a window: low and below give 0, high and above 255, halves between them are rounded up. Empty for 0, 0.
std::vector<std::uint8_t> window_table(std::int32_t low, std::int32_t high);

/// The caller's structure, as far as it knows it. INVALID_ARGUMENT: NULL, or a struct_size that cannot be.
csflow_image taken(const csflow_image *image);

/// What of `image` is to be resized, for as long as `limits` live. INVALID_ARGUMENT: the program is wrong;
/// SOURCE_ERROR: the picture is.
View checked_view(const csflow_image &image, const PictureLimits &limits);

/// What of a view lies in `box`, in pixels of the picture and inside the view.
View part_of(const View &view, const Roi &box) noexcept;

/// The region in pixels of a picture: `roi`, or all of it. SOURCE_ERROR where it leaves the picture.
Roi region_in(const Roi &roi, std::int32_t width, std::int32_t height);

} // namespace csflow
