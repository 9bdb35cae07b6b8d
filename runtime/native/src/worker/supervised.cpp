// An engine out of process: csflow-worker runs it, a thread here starts it again when it ends.
#include "engine/engine.h"

#include <cstring>

namespace csflow {
namespace {

constexpr const char *kPrefix = "worker:";

} // namespace

bool is_worker(const std::string &device) {
    return device == "worker" || device.compare(0, std::strlen(kPrefix), kPrefix) == 0;
}

} // namespace csflow

#if defined(__linux__)

#include "engine/library.h"
#include "worker/restarts.h"
#include "thread.h"
#include "worker/process.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <mutex>
#include <semaphore.h>
#include <sys/eventfd.h>

namespace csflow {
namespace {

// What lets a worker die may need a moment to pass, such as a reset of the GPU.
constexpr int kPausesMs[Restarts::kMost] = {0, 500, 2000};

std::string absolute(const std::string &path) {
    char resolved[PATH_MAX];
    return realpath(path.c_str(), resolved) != nullptr ? resolved : path;
}

bool is_program(const std::string &path) { return access(path.c_str(), X_OK) == 0; }

std::string find_program() {
    const char *named = std::getenv("CSFLOW_WORKER");
    if (named != nullptr && named[0] != '\0') {
        return absolute(named);
    }
    for (const char *place : {"csflow-worker", "csflow/csflow-worker"}) {
        if (is_program(own_folder() + place)) {
            return absolute(own_folder() + place);
        }
    }
    fail(CSFLOW_BACKEND_UNAVAILABLE, "csflow-worker lies neither beside libcsflow nor in csflow/ there: install it, or "
                                     "name it in CSFLOW_WORKER");
}

// "" is no path, and a bare name is searched for by the loader.
std::string resolved(const std::string &path) {
    return path.find('/') == std::string::npos ? path : absolute(path);
}

// Resolved now: the host may change its folder before a restart.
WorkerLaunch launch_of(const Bundle &bundle, const EngineOptions &options) {
    const std::size_t inner = std::min(std::strlen(kPrefix), options.device.size());
    const std::string cache = options.cache.empty() ? "" : absolute(options.cache);
    return {find_program(), absolute(bundle.path()), bundle.manifest().sha256,
            {engine_name(options.device.substr(inner)), resolved(options.library), cache,
             options.worker_deadline_ms},
            bundle.manifest().image_size};
}

std::int64_t steady_ns() noexcept {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Supervised final : public Engine {
public:
    Supervised(const Bundle &bundle, const EngineOptions &options, Trial trial)
        : launch_(launch_of(bundle, options)), trial_(std::move(trial)), stop_(eventfd(0, EFD_CLOEXEC)),
          input_(static_cast<std::size_t>(launch_.image_size) * static_cast<std::size_t>(launch_.image_size) * 3) {
        if (stop_.get() < 0) {
            fail(CSFLOW_OUT_OF_MEMORY, "cannot make an eventfd: raise the limit of descriptors");
        }
        sem_init(&started_, 0, 0);
        // The thread starts every worker, the first one too: the kernel ends a worker with the thread that started it.
        thread_ = start_quiet_thread("csf-worker", &Supervised::thread_main, this);
        while (sem_wait(&started_) != 0) {
        }
        if (lost_ != CSFLOW_OK) {
            end_thread();
            fail(lost_, "%s", words_);
        }
    }
    ~Supervised() override { end_thread(); }

    const char *name() const noexcept override { return launch_.engine.device.c_str(); }
    std::uint8_t *input() noexcept override { return input_.data(); }
    Map map() const noexcept override { return {values_.data(), width_, height_}; }

    // The supervisor holds the mutex for moments only: while it starts a worker, pictures fail at once.
    float infer() override {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (lost_ != CSFLOW_OK) {
            fail(lost_, latched_ ? "csflow-worker failed again after 3 restarts within 10 minutes and stays off: close "
                                   "the detector and open it again (%s)"
                                 : "csflow-worker is being restarted: the part has no verdict (%s)", words_);
        }
        float score = 0.0F;
        const csflow_status status = guarded([&] {
            std::memcpy(worker_->input(), input_.data(), input_.size());
            score = worker_->infer();
        });
        if (status != CSFLOW_OK) {
            lose(status);
            throw Failure{status};
        }
        std::memcpy(values_.data(), worker_->map().values, values_.size() * sizeof(float));
        return score;
    }

private:
    static void *thread_main(void *engine) noexcept {
        static_cast<Supervised *>(engine)->supervise();
        return nullptr;
    }

    void end_thread() noexcept {
        eventfd_write(stop_.get(), 1);
        pthread_join(thread_, nullptr);
        sem_destroy(&started_);
    }

    void supervise() noexcept {
        const csflow_status status = guarded([&] {
            worker_ = std::make_unique<WorkerProcess>(launch_, stop_.get());
            width_ = worker_->map().width;
            height_ = worker_->map().height;
            values_.resize(worker_->map().size());
        });
        lose(status);
        sem_post(&started_);
        bool going = status == CSFLOW_OK;
        while (going && !readable({worker_->life(), stop_.get(), -1}, -1)[1]) {
            find_reason();
            taken().reset(); // outside the mutex: its end may take a while
            going = recover();
        }
        readable({stop_.get(), -1, -1}, -1);
        const std::unique_ptr<WorkerProcess> last = taken();
    }

    // `infer` knows why it killed the worker; this one ended while nobody looked.
    void find_reason() noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (lost_ == CSFLOW_OK) {
            lose(guarded([&] { worker_->fail_ended(); }));
        }
    }

    std::unique_ptr<WorkerProcess> taken() noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        return std::move(worker_);
    }

    bool recover() noexcept {
        for (std::size_t attempt = 0; restarts_.take(steady_ns()); ++attempt) {
            std::unique_ptr<WorkerProcess> next;
            if (readable({stop_.get(), -1, -1}, kPausesMs[attempt])[0]) {
                return false;
            }
            const csflow_status status = guarded([&] {
                next = std::make_unique<WorkerProcess>(launch_, stop_.get());
                require_same_map(next->map());
                trial_(*next);
            });
            const std::lock_guard<std::mutex> lock(mutex_);
            if (status == CSFLOW_OK) {
                worker_ = std::move(next);
                lost_ = CSFLOW_OK;
                return true;
            }
            copy_text(stored_error(), words_, sizeof words_);
        }
        const std::lock_guard<std::mutex> lock(mutex_);
        latched_ = true;
        return false;
    }

    void require_same_map(const Map &map) const {
        if (map.width != width_ || map.height != height_) {
            fail(CSFLOW_ENGINE_MISMATCH, "csflow-worker came back with a map of %dx%d, it was %dx%d: open the detector "
                                         "again", map.width, map.height, width_, height_);
        }
    }

    void lose(csflow_status status) noexcept {
        lost_ = status;
        copy_text(stored_error(), words_, sizeof words_);
    }

    const WorkerLaunch launch_;
    const Trial trial_;
    const Descriptor stop_;
    std::vector<std::uint8_t> input_; // the shared memory belongs to one process, and this engine to several
    std::vector<float> values_;
    std::int32_t width_ = 0, height_ = 0;
    pthread_t thread_{};
    sem_t started_{};
    Restarts restarts_;

    std::mutex mutex_; // of all below
    std::unique_ptr<WorkerProcess> worker_;
    csflow_status lost_ = CSFLOW_OK; // why there is no worker
    bool latched_ = false;
    char words_[kErrorBytes] = "";
};

} // namespace

std::unique_ptr<Engine> open_worker(const Bundle &bundle, const EngineOptions &options, Trial trial) {
    return std::make_unique<Supervised>(bundle, options, std::move(trial));
}

} // namespace csflow

#else

namespace csflow {

std::unique_ptr<Engine> open_worker(const Bundle &, const EngineOptions &, Trial) {
    fail(CSFLOW_BACKEND_UNAVAILABLE, "csflow-worker needs Linux: open another device");
}

} // namespace csflow

#endif
