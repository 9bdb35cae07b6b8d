#include "worker/process.h"

#if defined(__linux__)

#include "bundle/files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <sys/mman.h>
#include <sys/socket.h>

namespace csflow {
namespace {

constexpr int kStartMs = 300000; // a back end may compile for minutes
constexpr int kEndMs = 1000;     // from a closed socket to the end of its process
constexpr float kNoValue = std::numeric_limits<float>::quiet_NaN();

[[noreturn]] void fail_resources(const char *what) {
    fail(CSFLOW_OUT_OF_MEMORY, "cannot make %s for csflow-worker (%s): raise the limit, or free memory", what,
         error_text(errno).c_str());
}

// Of a size that the worker cannot change: a shorter file would end this process when it is read.
int make_memory(std::size_t bytes) {
    const int memory = memfd_create("csflow-worker", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0 || ftruncate(memory, static_cast<off_t>(bytes)) != 0 ||
        fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        const Descriptor closed(memory);
        fail_resources("shared memory");
    }
    return memory;
}

} // namespace

WorkerProcess::Sockets::Sockets() : ours(-1), workers(-1) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        fail_resources("a socket");
    }
    ours = pair[0];
    workers = pair[1];
}

WorkerProcess::WorkerProcess(const WorkerLaunch &launch, int stop) : WorkerProcess(launch, stop, Sockets()) {}

WorkerProcess::WorkerProcess(const WorkerLaunch &launch, int stop, Sockets sockets)
    : launch_(launch), stop_(stop), socket_(sockets.ours), workers_socket_(sockets.workers),
      memory_(make_memory(SharedFrame::bytes(launch.image_size))), frame_(memory_.get(), launch.image_size),
      child_(launch, workers_socket_.get(), memory_.get()) {
    workers_socket_.close();
    check_ready(answer(kStartMs));
}

void WorkerProcess::check_ready(const WorkerMessage &ready) {
    if (std::strcmp(ready.text, CSFLOW_VERSION) != 0) {
        fail(CSFLOW_BACKEND_UNAVAILABLE, "%.200s is version %.20s, this libcsflow is %s: install both from one build",
             launch_.program.c_str(), ready.text, CSFLOW_VERSION);
    }
    if (launch_.bundle_sha256 != ready.bundle_sha256) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%.200s was changed since it was opened: close the detector and open it again",
             launch_.bundle.c_str());
    }
    const auto is_side = [&](std::int32_t side) { return side >= 1 && side <= launch_.image_size; };
    if (!is_side(ready.map_width) || !is_side(ready.map_height)) {
        refuse("a map of impossible size");
    }
    width_ = ready.map_width;
    height_ = ready.map_height;
    values_.assign(map().size(), kNoValue);
}

float WorkerProcess::infer() {
    // A worker that does not write the map has none: not the last picture's.
    std::fill_n(frame_.map(), values_.size(), kNoValue);
    if (!send_message(socket_.get(), worker_message(WORKER_PICTURE, ++sequence_))) {
        fail_ended();
    }
    const WorkerMessage score = answer(launch_.engine.worker_deadline_ms);
    std::copy_n(frame_.map(), values_.size(), values_.begin());
    return score.score;
}

WorkerMessage WorkerProcess::answer(int limit_ms) {
    const auto [said, ended, stopped] = readable({socket_.get(), child_.life(), stop_}, limit_ms);
    WorkerMessage message{};
    const ssize_t size = recv(socket_.get(), &message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);
    if (size <= 0 && stopped) {
        fail(CSFLOW_BUSY, "the detector is being closed");
    }
    if (size <= 0 && (said || ended)) {
        fail_ended();
    }
    if (size <= 0) {
        child_.kill();
        fail(CSFLOW_WORKER_HUNG, "csflow-worker gave no answer within %d ms and was killed: if it only was slow, allow "
                                 "more in options.worker_deadline_ms", limit_ms);
    }
    if (const char *fault = fault_of(message, static_cast<std::size_t>(size), sequence_)) {
        refuse(fault);
    }
    if (message.kind == WORKER_FAILURE) {
        child_.kill();
        fail(message.status, "%s", message.text);
    }
    return message;
}

void WorkerProcess::refuse(const char *what) {
    child_.kill();
    fail(CSFLOW_WORKER_CRASHED, "csflow-worker sent %s and was killed", what);
}

void WorkerProcess::fail_ended() {
    char how[128] = "closed its socket and was killed";
    if (child_.has_ended(kEndMs)) {
        child_.describe_end(how, sizeof how);
    }
    child_.kill();
    fail(CSFLOW_WORKER_CRASHED, "csflow-worker %s", how);
}

} // namespace csflow

#endif
