// Inner functions for tests in Python, by plain pointers.
#include "bundle/json.h"
#include "picture/picture.h"
#include "picture/resize_kernels.h"
#include "bundle/sha256.h"
#include "status.h"
#include "engine/trust.h"

extern "C" {

/// The name of one form of the resize on this processor, from the plainest on; null after the last.
__attribute__((visibility("default"))) const char *probe_kernels(size_t which) {
    static const auto found = csflow::kernels_of_this_processor();
    return which < found.size() ? found[which].name : nullptr;
}

__attribute__((visibility("default"))) csflow_status probe_preprocess(const csflow_image *image, const int32_t *roi,
                                                                      const int32_t *ignore, int32_t ignored,
                                                                      int32_t size, int32_t spare, size_t kernels,
                                                                      uint8_t *out) {
    return csflow::guarded([&] {
        csflow::PictureLimits limits{{roi[0], roi[1], roi[2], roi[3]}, {}, image->width + spare,
                                     image->height + spare};
        for (const int32_t *box = ignore; box < ignore + 4 * ignored; box += 4) {
            limits.ignore.push_back({box[0], box[1], box[2], box[3]});
        }
        const csflow::View view = csflow::checked_view(csflow::taken(image), limits);
        const csflow::Kernels form = csflow::kernels_of_this_processor().at(kernels);
        csflow::Resizer(size, view.width + spare, view.height + spare, form).resize(view, out);
    });
}

__attribute__((visibility("default"))) csflow_status probe_distrust(const char *path, const char *engine,
                                                                    double score_error, double map_error, char *out,
                                                                    size_t room) {
    return csflow::guarded([&] {
        const csflow::Bundle bundle(path);
        const csflow::GoldenCheck check{2, 0, score_error, map_error};
        csflow::copy_text(csflow::distrust(bundle, engine, csflow::load_calibration(bundle), check).c_str(), out, room);
    });
}

__attribute__((visibility("default"))) csflow_status probe_weights_sha256(const char *path, char *out) {
    return csflow::guarded([&] { csflow::copy_text(csflow::Bundle(path).weights_sha256().c_str(), out, 65); });
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
