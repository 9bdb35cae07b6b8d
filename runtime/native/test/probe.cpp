// Inner functions for tests in Python, by plain pointers.
#include "json.h"
#include "picture.h"
#include "sha256.h"
#include "status.h"

extern "C" {

__attribute__((visibility("default"))) csflow_status probe_preprocess(const csflow_image *image, const int32_t *roi,
                                                                      int32_t size, int32_t spare, uint8_t *out) {
    return csflow::guarded([&] {
        const csflow::PictureLimits limits{{roi[0], roi[1], roi[2], roi[3]}, image->width + spare,
                                           image->height + spare};
        const csflow::View view = csflow::checked_view(csflow::taken(image), limits);
        csflow::Resizer(size, view.width + spare, view.height + spare).resize(view, out);
    });
}

__attribute__((visibility("default"))) void probe_sha256(const uint8_t *data, size_t size, char *out) {
    csflow::copy_text(csflow::sha256_hex(data, size).c_str(), out, 65);
}

/// Bytes that the canonical form needs with its final zero, or 0 where the text is refused.
__attribute__((visibility("default"))) size_t probe_canonical(const char *text, size_t size, char *out, size_t room) {
    size_t needed = 0;
    csflow::guarded([&] {
        const csflow::Json value = csflow::parse_json({text, size}, CSFLOW_DATA_ERROR, "text", "correct it");
        needed = csflow::copy_text(csflow::canonical_json(value).c_str(), out, room);
    });
    return needed;
}

}
