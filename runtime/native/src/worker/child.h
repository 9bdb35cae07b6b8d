// The process behind csflow-worker: started, watched, ended. Only this one child is ever waited for.
#pragma once

#include "worker/descriptor.h"
#include "engine/engine.h"

#include <sys/types.h>

namespace csflow {

/// What to start, and what it must be; all paths are absolute.
struct WorkerLaunch {
    std::string program, bundle, bundle_sha256;
    EngineOptions engine;
    std::int32_t image_size;
};

class WorkerChild {
public:
    /// Start `launch.program` with two descriptors, signals as they are by default, and nothing to print to.
    /// BACKEND_UNAVAILABLE: it cannot be started.
    WorkerChild(const WorkerLaunch &launch, int socket, int memory);
    /// Kills it and takes its exit status.
    ~WorkerChild();
    WorkerChild(const WorkerChild &) = delete;
    WorkerChild &operator=(const WorkerChild &) = delete;

    int life() const noexcept { return life_.get(); } // readable once it has ended
    void kill() noexcept;
    /// Whether it has ended, `limit_ms` from now at the latest.
    bool has_ended(int limit_ms) const noexcept;
    /// Such as "was ended by signal 11 (SIGSEGV)".
    void describe_end(char *text, std::size_t size) noexcept;

private:
    pid_t process_;
    Descriptor life_;
    bool reaped_ = false;
};

} // namespace csflow
