// A bundle, its engine and the thread that works: one picture at a time, from the caller's pixels to a result.
#pragma once

#include "bundle/sizes.h"
#include "engine/golden.h"
#include "picture/align.h"
#include "picture/picture.h"
#include "picture/tiles.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <semaphore.h>
#include <sys/types.h>

namespace csflow {

struct OpenOptions {
    std::int32_t max_width, max_height;
    EngineOptions engine;
    bool unverified, any_size;
};

class Detector {
public:
    /// Everything is allocated here. Throws what the bundle, the thresholds, the engine, the golden frames or the
    /// decision gate's records give.
    Detector(const std::string &bundle, const OpenOptions &options);
    /// Waits for the picture in work.
    ~Detector();
    Detector(const Detector &) = delete;
    Detector &operator=(const Detector &) = delete;

    pid_t process() const noexcept { return process_; }
    const csflow_description &describe() const noexcept { return description_; }

    /// Begin a picture; throws BUSY, INVALID_ARGUMENT or SOURCE_ERROR. `wait`: `finish` will be called.
    void begin(const csflow_image *image, bool wait);
    /// Wait for the end of what `begin` began, and give the result.
    csflow_result finish() noexcept;
    /// OK with a result, PENDING, IDLE, or BUSY where somebody else waits. Lock-free.
    csflow_status poll(csflow_result &result) noexcept;

    GoldenCheck self_test();
    Map map();
    void render_map(float *out, std::int64_t row_stride, std::int32_t width, std::int32_t height);

    void store_error() noexcept; // this thread's last error becomes the detector's
    std::size_t last_error(char *text, std::size_t size) noexcept;

private:
    // FREE and DONE are nobody's; a compare-and-swap takes the detector out of them.
    enum State : int { FREE, TAKEN, WAITED, SUBMITTED, DONE };

    class Taken;

    static void *thread_main(void *detector) noexcept;
    void work() noexcept;
    void infer(csflow_result &result);
    float infer_tiles();
    void judge(float score, csflow_result &result) noexcept;
    std::unique_ptr<Engine> opened(const OpenOptions &options);
    std::string require_trust(Engine &engine, bool unverified) const;
    csflow_result blank_result(const csflow_image &image) const noexcept;

    const Bundle bundle_;
    const Calibration calibration_;
    const GoldenSet golden_;
    const PictureLimits limits_;
    const SizeRule sizes_;
    const bool any_size_;
    const Tiles tiles_;
    const pid_t process_;
    std::atomic<bool> verified_{false};
    const std::unique_ptr<Engine> engine_;
    csflow_description description_;
    Resizer resizer_;
    std::optional<Aligner> aligner_; // none where the bundle moves nothing
    Stitched stitched_;
    Highest highest_;

    std::atomic<int> state_{FREE};
    std::atomic<bool> stop_{false};
    sem_t wake_{}, finished_{};
    pthread_t thread_{};

    csflow_image image_{}; // of the picture in work; the fields below belong to who owns the state
    View view_{};
    TileGrid grid_; // of no tiles where the picture is one piece
    csflow_result result_{};
    bool has_map_ = false;
    Map map_{}; // in the picture as it came: the engine's, moved back or stitched

    std::mutex error_mutex_;
    char error_[kErrorBytes] = "";
};

/// CLOCK_MONOTONIC in nanoseconds.
std::int64_t now_ns() noexcept;

} // namespace csflow
