// Numbers for detectors: a stale or invented one is refused and never followed.
#pragma once

#include "detector/cycle.h"

namespace csflow {

/// What a number stands for.
struct Opened {
    Opened(const std::string &bundle, const OpenOptions &options) : detector(bundle, options), cycle(detector) {}

    Detector detector;
    Cycle cycle;
};

/// The number of a new detector. CONFIG_ERROR: too many are open.
csflow_detector add_handle(std::unique_ptr<Opened> opened);

/// Take the detector out, wait until no call uses it, and delete it. BAD_HANDLE, FORKED.
void remove_handle(csflow_detector handle);

/// What to say about BAD_HANDLE or FORKED.
const char *refusal(csflow_status status) noexcept;

/// A detector that cannot be deleted while this lives. Lock-free, no allocation.
class Pinned {
public:
    explicit Pinned(csflow_detector handle) noexcept;
    ~Pinned();
    Pinned(const Pinned &) = delete;
    Pinned &operator=(const Pinned &) = delete;

    csflow_status status() const noexcept { return status_; } // OK, BAD_HANDLE or FORKED
    Opened *operator->() const noexcept { return opened_; }
    Opened &operator*() const noexcept { return *opened_; }

private:
    csflow_detector handle_;
    csflow_status status_ = CSFLOW_BAD_HANDLE;
    Opened *opened_ = nullptr;
};

} // namespace csflow
