// An engine in another process, for as long as that process lives.
#pragma once

#include "worker/child.h"
#include "worker/message.h"

namespace csflow {

class WorkerProcess final : public Engine {
public:
    /// Start it and wait until its engine is open. Fails as that engine would in this process, with WORKER_CRASHED or
    /// WORKER_HUNG, or with BUSY once `stop` becomes readable.
    WorkerProcess(const WorkerLaunch &launch, int stop);

    const char *name() const noexcept override { return launch_.engine.device.c_str(); }
    std::uint8_t *input() noexcept override { return frame_.input(); }
    Map map() const noexcept override { return {values_.data(), width_, height_}; }

    /// As Engine; WORKER_CRASHED or WORKER_HUNG too. After any failure the process is dead, or dying.
    float infer() override;

    int life() const noexcept { return child_.life(); }
    /// WORKER_CRASHED, with how it ended; it has.
    [[noreturn]] void fail_ended();

private:
    struct Sockets {
        Sockets();
        int ours, workers;
    };

    WorkerProcess(const WorkerLaunch &launch, int stop, Sockets sockets);
    WorkerMessage answer(int limit_ms);
    void check_ready(const WorkerMessage &ready);
    [[noreturn]] void refuse(const char *what);

    const WorkerLaunch &launch_;
    const int stop_;
    const Descriptor socket_;
    Descriptor workers_socket_; // closed here once it has its own
    const Descriptor memory_;
    const SharedFrame frame_;
    WorkerChild child_;
    std::uint64_t sequence_ = 0;
    std::int32_t width_ = 0, height_ = 0;
    std::vector<float> values_; // of the map: what lies in the shared memory may change at any time
};

} // namespace csflow
