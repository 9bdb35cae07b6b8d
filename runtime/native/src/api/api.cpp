// The functions of csflow.h: each finds the detector, does one thing, and lets nothing out but a status.
#include "api/handles.h"
#include "detector/reasons.h"
#include "structs.h"

#include <cstddef>
#include <cstdlib>

namespace {

using namespace csflow;

constexpr std::int32_t kDefaultMaxSide = 8192;
constexpr std::int32_t kDefaultDeadlineMs = 10000;
constexpr std::int32_t kMaxDeadlineMs = 3600000;

void require(const void *pointer, const char *name) {
    if (pointer == nullptr) {
        fail(CSFLOW_INVALID_ARGUMENT, "%s is NULL: pass a valid pointer", name);
    }
}

/// Run `body(opened)` behind the firewall; what it says becomes the detector's last error too.
template <typename Body> csflow_status with(csflow_detector handle, Body &&body) noexcept {
    const Pinned opened(handle);
    if (opened.status() != CSFLOW_OK) {
        store_error(refusal(opened.status()));
        return opened.status();
    }
    const csflow_status status = guarded([&] { body(*opened); });
    if (status != CSFLOW_OK) {
        opened->detector.store_error();
    }
    return status;
}

std::string text_or(const char *text, const char *otherwise) { return text != nullptr ? text : otherwise; }

std::string bundle_path(const char *bundle) {
    const char *named = bundle != nullptr ? bundle : std::getenv("CSFLOW_BUNDLE");
    return named != nullptr && named[0] != '\0' ? named : "model.csflow";
}

std::int32_t side_or_default(std::int32_t side) {
    if (side < 0 || side > kMaxSide) {
        fail(CSFLOW_CONFIG_ERROR, "largest side is %d: 1 to %d pixels expected, or 0 for %d", side, kMaxSide,
             kDefaultMaxSide);
    }
    return side == 0 ? kDefaultMaxSide : side;
}

bool checked_flag(std::uint32_t flag, const char *name) {
    if (flag > 1) {
        fail(CSFLOW_CONFIG_ERROR, "csflow_options.%s is %u: 0 or 1 expected", name, flag);
    }
    return flag == 1;
}

std::int32_t checked_deadline(std::uint32_t deadline_ms) {
    if (deadline_ms > kMaxDeadlineMs) {
        fail(CSFLOW_CONFIG_ERROR, "csflow_options.worker_deadline_ms is %u: 1 to %d expected, or 0 for %d", deadline_ms,
             kMaxDeadlineMs, kDefaultDeadlineMs);
    }
    return deadline_ms == 0 ? kDefaultDeadlineMs : static_cast<std::int32_t>(deadline_ms);
}

OpenOptions checked(const csflow_options *given) {
    csflow_options options{};
    if (given != nullptr) {
        options = taken_struct(*given, offsetof(csflow_options, max_width), "csflow_options");
        if (options.api_version != CSFLOW_API_VERSION) {
            fail(CSFLOW_INVALID_ARGUMENT, "csflow_options.api_version is %u, this libcsflow has %d: use the header "
                                          "that belongs to it", options.api_version, CSFLOW_API_VERSION);
        }
    }
    return {side_or_default(options.max_width), side_or_default(options.max_height),
            {text_or(options.device, "auto"), text_or(options.library, ""), text_or(options.cache, ""),
             checked_deadline(options.worker_deadline_ms)},
            checked_flag(options.unverified, "unverified"), checked_flag(options.any_size, "any_size")};
}

void deliver_error(csflow_status status, const csflow_image *image, csflow_result *out) noexcept {
    if (is_writable(out)) {
        const bool numbered = image != nullptr && image->struct_size >= sizeof *image;
        deliver(error_result(status, reason_of(status), numbered ? image->frame_id : 0), out);
    }
}

void deliver_error(csflow_status status, csflow_cycle_out *out) noexcept {
    if (is_writable(out)) {
        csflow_cycle_out failed{};
        failed.error = 1;
        failed.status = status;
        failed.result = error_result(status, reason_of(status), 0);
        failed.result.struct_size = sizeof failed.result;
        deliver(failed, out);
    }
}

} // namespace

extern "C" {

csflow_status csflow_open(csflow_detector *out, const char *bundle, const csflow_options *options) {
    return guarded([&] {
        require(out, "out");
        *out = 0;
        *out = add_handle(std::make_unique<Opened>(bundle_path(bundle), checked(options)));
    });
}

csflow_status csflow_describe(csflow_detector detector, csflow_description *out) {
    return with(detector, [&](Opened &opened) {
        require_writable(out, "out");
        deliver(opened.detector.describe(), out);
    });
}

csflow_status csflow_detect(csflow_detector detector, const csflow_image *image, csflow_result *out) {
    csflow_result result{};
    const csflow_status refused = with(detector, [&](Opened &opened) {
        require_writable(out, "out");
        opened.detector.begin(image, true);
        result = opened.detector.finish();
    });
    if (refused != CSFLOW_OK) {
        deliver_error(refused, image, out);
        return refused;
    }
    deliver(result, out);
    return result.status;
}

csflow_status csflow_submit(csflow_detector detector, const csflow_image *image) {
    return with(detector, [&](Opened &opened) { opened.detector.begin(image, false); });
}

csflow_status csflow_poll(csflow_detector detector, csflow_result *out) {
    const Pinned opened(detector);
    if (opened.status() != CSFLOW_OK || !is_writable(out)) {
        const csflow_status status = opened.status() != CSFLOW_OK ? opened.status() : CSFLOW_INVALID_ARGUMENT;
        store_error(opened.status() != CSFLOW_OK ? refusal(status) : "out is NULL, or its struct_size is not set");
        deliver_error(status, nullptr, out);
        return status;
    }
    csflow_result result{};
    const csflow_status status = opened->detector.poll(result);
    if (status == CSFLOW_OK) {
        deliver(result, out);
    }
    return status;
}

csflow_status csflow_anomaly_map(csflow_detector detector, const float **values, int32_t *width, int32_t *height) {
    return with(detector, [&](Opened &opened) {
        require(values, "values");
        require(width, "width");
        require(height, "height");
        const Map map = opened.detector.map();
        *values = map.values;
        *width = map.width;
        *height = map.height;
    });
}

csflow_status csflow_render_map(csflow_detector detector, float *out, int64_t row_stride, int32_t width,
                                int32_t height) {
    return with(detector, [&](Opened &opened) { opened.detector.render_map(out, row_stride, width, height); });
}

csflow_status csflow_cycle(csflow_detector detector, const csflow_cycle_in *in, csflow_cycle_out *out) {
    csflow_cycle_out shown{};
    csflow_status status = with(detector, [&](Opened &opened) {
        require(in, "in");
        require_writable(out, "out");
        const csflow_cycle_in copy = taken_struct(*in, sizeof *in, "csflow_cycle_in");
        if (opened.cycle.step(copy, shown) != CSFLOW_OK) {
            fail(CSFLOW_BUSY, "another thread is in csflow_cycle with this detector: one task calls it");
        }
    });
    if (status != CSFLOW_OK) {
        deliver_error(status, out);
        return status;
    }
    deliver(shown, out);
    return CSFLOW_OK;
}

csflow_status csflow_self_test(csflow_detector detector, csflow_self_test_result *out) {
    return with(detector, [&](Opened &opened) {
        require_writable(out, "out");
        const GoldenCheck check = opened.detector.self_test();
        deliver(csflow_self_test_result{0, check.frames, check.flips, 0, check.score_error, check.map_error}, out);
        if (!check.passed(opened.detector.describe().engine)) {
            fail(CSFLOW_ENGINE_MISMATCH, "the golden frames do not get the scores they must: run 'csflow export' "
                                         "again");
        }
    });
}

csflow_status csflow_close(csflow_detector detector) {
    return guarded([&] { remove_handle(detector); });
}

size_t csflow_last_error(csflow_detector detector, char *text, size_t size) {
    const std::size_t room = text != nullptr ? size : 0;
    const Pinned opened(detector);
    return opened.status() == CSFLOW_OK ? opened->detector.last_error(text, room)
                                        : copy_text(stored_error(), text, room);
}

} // extern "C"
