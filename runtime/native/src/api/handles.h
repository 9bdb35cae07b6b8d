// Numbers for detectors: a stale or invented one is refused and never followed.
#pragma once

#include "detector/detector.h"

namespace csflow {

/// The number of a new detector. CONFIG_ERROR: too many are open.
csflow_detector add_handle(std::unique_ptr<Detector> detector);

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
    Detector *operator->() const noexcept { return detector_; }
    Detector &operator*() const noexcept { return *detector_; }

private:
    csflow_detector handle_;
    csflow_status status_ = CSFLOW_BAD_HANDLE;
    Detector *detector_ = nullptr;
};

} // namespace csflow
