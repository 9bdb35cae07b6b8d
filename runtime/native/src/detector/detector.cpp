#include "detector/detector.h"
#include "detector/description.h"
#include "detector/reasons.h"
#include "engine/finite.h"
#include "engine/trust.h"
#include "numbers.h"
#include "picture/render.h"
#include "thread.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>
#include <unistd.h>

namespace csflow {
namespace {

std::int32_t widest(const PictureLimits &limits, std::int32_t region, std::int32_t most) {
    return limits.roi.width == 0 ? most : region;
}

std::int32_t resized(const Tiles &tiles, std::int32_t longest) { return tiles.side == 0 ? longest : tiles.side; }

void require_possible(const Roi &box, const OpenOptions &options, const char *name) {
    if (box.x + box.width > options.max_width || box.y + box.height > options.max_height) {
        fail(CSFLOW_CONFIG_ERROR, "%s x=%d y=%d %dx%d leaves the largest picture of %dx%d pixels: correct max_width and "
                                  "max_height", name, box.x, box.y, box.width, box.height, options.max_width,
             options.max_height);
    }
}

PictureLimits checked_limits(const Manifest &manifest, const OpenOptions &options) {
    require_possible(manifest.roi, options, "region of interest");
    for (const Roi &box : manifest.ignore) {
        require_possible(box, options, "ignored rectangle");
    }
    return {manifest.roi, manifest.ignore, options.max_width, options.max_height,
            window_table(manifest.window_low, manifest.window_high), manifest.exposure};
}

void wait_for(sem_t &semaphore) noexcept {
    while (sem_wait(&semaphore) != 0 && errno == EINTR) {
    }
}

} // namespace

std::int64_t now_ns() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

/// The detector for the time of a call that needs the engine, or what it left behind.
class Detector::Taken {
public:
    explicit Taken(Detector &detector) : state_(detector.state_), before_(state_.load()) {
        const bool idle = before_ == FREE || before_ == DONE;
        if (!idle || !state_.compare_exchange_strong(before_, TAKEN)) {
            fail(CSFLOW_BUSY, "a picture is in work: wait for its result");
        }
    }
    ~Taken() { state_.store(before_); }
    Taken(const Taken &) = delete;
    Taken &operator=(const Taken &) = delete;

private:
    std::atomic<int> &state_;
    int before_;
};

Detector::Detector(const std::string &bundle, const OpenOptions &options)
    : bundle_(bundle), calibration_(load_calibration(bundle_)), golden_(bundle_),
      limits_(checked_limits(bundle_.manifest(), options)), sizes_(bundle_), any_size_(options.any_size),
      tiles_{bundle_.manifest().tile_side, bundle_.manifest().tile_overlap},
      process_(getpid()), engine_(opened(options)),
      description_(described(bundle_, calibration_, *engine_)),
      resizer_(bundle_.manifest().image_size,
               resized(tiles_, widest(limits_, limits_.roi.width, options.max_width)),
               resized(tiles_, widest(limits_, limits_.roi.height, options.max_height))),
      stitched_(tiles_, widest(limits_, limits_.roi.width, options.max_width),
                widest(limits_, limits_.roi.height, options.max_height), engine_->map()),
      highest_(bundle_.manifest().looks, bundle_.manifest().near) {
    if (!bundle_.manifest().align.reference.empty()) {
        aligner_.emplace(bundle_.manifest().align, bundle_.manifest().image_size);
    }
    const std::string problem = require_trust(*engine_, options.unverified);
    copy_text(problem.c_str(), description_.distrust, sizeof description_.distrust);
    verified_ = problem.empty();
    sem_init(&wake_, 0, 0);
    sem_init(&finished_, 0, 0);
    thread_ = start_quiet_thread("csf-detector", &Detector::thread_main, this);
}

std::unique_ptr<Engine> Detector::opened(const OpenOptions &options) {
    if (!is_worker(options.engine.device)) {
        return open_engine(bundle_, options.engine);
    }
    // Results say what was found at the start: a worker that comes back must be as good.
    return open_worker(bundle_, options.engine, [this, unverified = options.unverified](Engine &engine) {
        require_trust(engine, unverified && !verified_);
    });
}

std::string Detector::require_trust(Engine &engine, bool unverified) const {
    const GoldenCheck check = golden_.check(engine, calibration_);
    require_passed(check, engine);
    std::string problem = distrust(bundle_, engine.name(), calibration_, check);
    if (!problem.empty() && !unverified) {
        fail(CSFLOW_NOT_VERIFIED, "%.400s; run 'csflow verify', or set options.unverified to run it all the same",
             problem.c_str());
    }
    return problem;
}

Detector::~Detector() {
    stop_.store(true);
    sem_post(&wake_);
    pthread_join(thread_, nullptr);
    sem_destroy(&wake_);
    sem_destroy(&finished_);
}

void *Detector::thread_main(void *detector) noexcept {
    static_cast<Detector *>(detector)->work();
    return nullptr;
}

void Detector::work() noexcept {
    for (wait_for(wake_); !stop_.load(); wait_for(wake_)) {
        csflow_result result = blank_result(image_);
        const csflow_status status = guarded([&] { infer(result); });
        if (status != CSFLOW_OK) {
            store_error();
            result = error_result(status, reason_of(status), image_.frame_id);
        }
        result.latency_ns = now_ns() - image_.captured_ns;
        result_ = result;
        // Who waits takes the result himself; his state stays, so that no one else polls it away.
        if (state_.load() == WAITED) {
            sem_post(&finished_);
        } else {
            state_.store(DONE, std::memory_order_release);
        }
    }
}

csflow_result Detector::blank_result(const csflow_image &image) const noexcept {
    csflow_result result = error_result(CSFLOW_OK, CSFLOW_REASON_INTERNAL, image.frame_id);
    result.warn_threshold = calibration_.warn_threshold;
    result.reject_threshold = calibration_.reject_threshold;
    result.verified = verified_;
    return result;
}

void Detector::infer(csflow_result &result) {
    has_map_ = false;
    float score = 0.0F;
    if (tiles_.side != 0) {
        score = infer_tiles();
        map_ = stitched_.map();
    } else {
        resizer_.resize(view_, engine_->input());
        if (aligner_) {
            aligner_->align(engine_->input(), view_.width, view_.height);
        }
        score = engine_->infer();
        map_ = aligner_ ? aligner_->moved_back(engine_->map()) : engine_->map();
    }
    has_map_ = true;
    judge(score, result);
}

/// The highest score of all tiles, not a number where one is no positive number; their maps become one.
float Detector::infer_tiles() {
    stitched_.begin(grid_, engine_->map());
    highest_.begin();
    float highest = -std::numeric_limits<float>::infinity();
    const auto take = [&](const Roi &box) {
        resizer_.resize(part_of(view_, box), engine_->input());
        const float score = engine_->infer();
        stitched_.add(box, engine_->map());
        // Of a number and of what is none the former is never larger.
        highest = !(score > 0.0F) ? std::numeric_limits<float>::quiet_NaN() : score > highest ? score : highest;
        return score;
    };
    for (std::int32_t i = 0; i < grid_.size(); ++i) {
        const Roi box = grid_.box(i);
        highest_.add(take(box), box, engine_->map());
    }
    Roi looks[kMaxLooks];
    const std::int32_t count = std::isfinite(highest) ? highest_.looks(grid_, engine_->map(), looks) : 0;
    std::for_each(looks, looks + count, take);
    return highest;
}

void Detector::judge(float score, csflow_result &result) noexcept {
    const float *end = map_.values + map_.size();
    result.score = all_finite(map_.values, map_.size()) ? static_cast<double>(score) : kNaN;
    result.verdict = calibration_.verdict(result.score);
    result.verdict_code = code_of(result.verdict);
    result.reason = reason_of_verdict(result.verdict);
    result.p_value = calibration_.p_value(result.score);
    if (result.verdict == CSFLOW_VERDICT_ERROR) {
        return;
    }
    const auto peak = static_cast<std::int32_t>(std::max_element(map_.values, end) - map_.values);
    const Roi region = region_in(limits_.roi, image_.width, image_.height);
    result.peak_x = region.x + static_cast<std::int32_t>((peak % map_.width + 0.5) * region.width / map_.width);
    result.peak_y = region.y + static_cast<std::int32_t>((peak / map_.width + 0.5) * region.height / map_.height);
}

void Detector::begin(const csflow_image *image, bool wait) {
    csflow_image copy = taken(image);
    const View view = checked_view(copy, limits_);
    if (!any_size_) {
        sizes_.require(copy.width, copy.height);
    }
    const TileGrid grid =
        tiles_.side == 0 ? TileGrid() : TileGrid(tiles_, {view.x, view.y, view.width, view.height});
    int before = state_.load();
    // A result that nobody polled is never thrown away: it counts as busy too.
    if (before != FREE || !state_.compare_exchange_strong(before, TAKEN)) {
        fail(CSFLOW_BUSY, "a picture is in work: wait for its result");
    }
    if (copy.captured_ns == 0) {
        copy.captured_ns = now_ns();
    }
    image_ = copy;
    view_ = view;
    grid_ = grid;
    state_.store(wait ? WAITED : SUBMITTED, std::memory_order_release);
    sem_post(&wake_);
}

csflow_result Detector::finish() noexcept {
    wait_for(finished_);
    const csflow_result result = result_;
    state_.store(FREE, std::memory_order_release);
    return result;
}

csflow_status Detector::poll(csflow_result &result) noexcept {
    int state = state_.load(std::memory_order_acquire);
    if (state != DONE) {
        return state == FREE ? CSFLOW_IDLE : state == SUBMITTED ? CSFLOW_PENDING : CSFLOW_BUSY;
    }
    if (!state_.compare_exchange_strong(state, TAKEN)) {
        return CSFLOW_BUSY;
    }
    result = result_;
    state_.store(FREE, std::memory_order_release);
    return CSFLOW_OK;
}

GoldenCheck Detector::self_test() {
    const Taken taken(*this);
    has_map_ = false;
    return golden_.check(*engine_, calibration_);
}

Map Detector::map() {
    const Taken taken(*this);
    if (!has_map_) {
        fail(CSFLOW_INVALID_ARGUMENT, "there is no anomaly map: the last picture had none, or there was no picture");
    }
    return map_;
}

void Detector::render_map(float *out, std::int64_t row_stride, std::int32_t width, std::int32_t height) {
    const Map values = map();
    const Taken taken(*this);
    if (width != image_.width || height != image_.height) {
        fail(CSFLOW_INVALID_ARGUMENT, "map for %dx%d pixels, the last picture had %dx%d: pass its size", width, height,
             image_.width, image_.height);
    }
    constexpr std::int64_t value_bytes = sizeof(float);
    const std::int64_t least = width * value_bytes;
    if (out == nullptr || (row_stride < least && row_stride > -least) || row_stride % value_bytes != 0) {
        fail(CSFLOW_INVALID_ARGUMENT, "out is NULL, or row_stride is not a multiple of 4 of at least %lld bytes",
             static_cast<long long>(least));
    }
    render(values, region_in(limits_.roi, width, height), out, row_stride, width, height);
}

void Detector::store_error() noexcept {
    const std::lock_guard<std::mutex> lock(error_mutex_);
    copy_text(stored_error(), error_, sizeof error_);
}

std::size_t Detector::last_error(char *text, std::size_t size) noexcept {
    const std::lock_guard<std::mutex> lock(error_mutex_);
    return copy_text(error_, text, size);
}

} // namespace csflow
