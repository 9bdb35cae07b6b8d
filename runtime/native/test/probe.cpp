// Inner functions for tests in Python, by plain pointers.
#include "bundle/files.h"
#include "bundle/json.h"
#include "bundle/sha256.h"
#include "detector/reasons.h"
#include "engine/stages.h"
#include "engine/trust.h"
#include "picture/picture.h"
#include "picture/resize_kernels.h"
#include "status.h"

extern "C" {

/// The name of one form of the resize on this processor, from the plainest on; null after the last.
__attribute__((visibility("default"))) const char *probe_kernels(size_t which) {
    static const auto found = csflow::kernels_of_this_processor();
    return which < found.size() ? found[which].name : nullptr;
}

__attribute__((visibility("default"))) csflow_status probe_preprocess(const csflow_image *image, const int32_t *roi,
                                                                      const int32_t *ignore, int32_t ignored,
                                                                      int32_t low, int32_t high,
                                                                      int32_t exposure, int32_t size, int32_t spare,
                                                                      size_t kernels, uint8_t *out) {
    return csflow::guarded([&] {
        csflow::PictureLimits limits{{roi[0], roi[1], roi[2], roi[3]}, {}, image->width + spare,
                                     image->height + spare, csflow::window_table(low, high), exposure};
        for (const int32_t *box = ignore; box < ignore + 4 * ignored; box += 4) {
            limits.ignore.push_back({box[0], box[1], box[2], box[3]});
        }
        const csflow::View view = csflow::checked_view(csflow::taken(image), limits);
        const csflow::Kernels form = csflow::kernels_of_this_processor().at(kernels);
        csflow::Resizer(size, view.width + spare, view.height + spare, form).resize(view, out);
    });
}

__attribute__((visibility("default"))) csflow_status probe_distrust(const char *path, const char *engine,
                                                                    double score_error, double map_error,
                                                                    int32_t by_spread, char *out, size_t room) {
    return csflow::guarded([&] {
        const csflow::Bundle bundle(path);
        const csflow::GoldenCheck check{2, 0, score_error, map_error, by_spread != 0};
        csflow::copy_text(csflow::distrust(bundle, engine, csflow::load_calibration(bundle), check).c_str(), out, room);
    });
}

/// The identity of a model by the text of its manifest.
__attribute__((visibility("default"))) csflow_status probe_identity(const char *text, size_t size, char *out) {
    return csflow::guarded([&] {
        csflow::copy_text(csflow::parse_manifest({text, size}, "manifest.json").weights_sha256.c_str(), out, 65);
    });
}

__attribute__((visibility("default"))) void probe_sha256(const uint8_t *data, size_t size, char *out) {
    csflow::copy_text(csflow::sha256_hex(data, size).c_str(), out, 65);
}

/// What the precision in the name of an engine explains on the golden frames: of a score, of a map.
__attribute__((visibility("default"))) void probe_tolerances(const char *engine, int32_t by_spread, double *out) {
    const csflow::Tolerances found = csflow::tolerances(engine, by_spread != 0);
    out[0] = found.score;
    out[1] = found.map;
}

/// Whether an engine of that name may start with these errors on the golden frames.
__attribute__((visibility("default"))) int32_t probe_passed(const char *engine, int32_t by_spread, int32_t flips,
                                                            double score_error, double map_error) {
    return csflow::GoldenCheck{2, flips, score_error, map_error, by_spread != 0}.passed(engine);
}

__attribute__((visibility("default"))) double probe_band() { return csflow::kGoldenBand; }

/// "backend precision narrowest" of an engine's name.
__attribute__((visibility("default"))) void probe_engine_name(const char *text, char *out, size_t room) {
    const csflow::EngineName name = csflow::EngineName::parse(text);
    const std::string words = name.backend + " " + name.precision + " " + name.narrowest();
    csflow::copy_text(words.c_str(), out, room);
}

/// "graph precision file" on a line for each stage that an engine of that name runs.
__attribute__((visibility("default"))) csflow_status probe_stages(const char *text, size_t size, const char *engine,
                                                                  char *out, size_t room) {
    return csflow::guarded([&] {
        std::string lines;
        const csflow::Manifest manifest = csflow::parse_manifest({text, size}, "manifest.json");
        for (const csflow::Stage &stage : csflow::stages(manifest, csflow::EngineName::parse(engine))) {
            lines += stage.graph + " " + stage.precision + " " + stage.file + "\n";
        }
        csflow::copy_text(lines.c_str(), out, room);
    });
}

/// The largest that a bundle's file of that name may be.
__attribute__((visibility("default"))) uint64_t probe_most_bytes(const char *name) { return csflow::most_bytes(name); }

/// The wire code of a verdict, and the reason that goes with it where a score decided.
__attribute__((visibility("default"))) uint16_t probe_code(int32_t verdict) { return csflow::code_of(verdict); }
__attribute__((visibility("default"))) uint16_t probe_reason(int32_t verdict) {
    return csflow::reason_of_verdict(verdict);
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
