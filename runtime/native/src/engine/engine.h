// What turns the model's input into a score and a map. One thread at a time.
#pragma once

#include "bundle/bundle.h"

#include <functional>
#include <memory>

namespace csflow {

/// (height, width) float32 row by row, owned by the engine.
struct Map {
    const float *values;
    std::int32_t width, height;

    std::size_t size() const noexcept { return static_cast<std::size_t>(width) * static_cast<std::size_t>(height); }
};

class Engine {
public:
    virtual ~Engine() = default;

    /// Such as "openvino-fp32".
    virtual const char *name() const noexcept = 0;

    /// Where the (S, S, 3) uint8 RGB input is to be written before `infer`.
    virtual std::uint8_t *input() noexcept = 0;

    /// The score of what lies in `input`. Throws INFERENCE_ERROR; a score that is not finite is returned as it is.
    virtual float infer() = 0;

    /// The map of the last `infer`; its sides never change.
    virtual Map map() const noexcept = 0;
};

struct EngineOptions {
    std::string device, library, cache; // as in csflow_options; empty for the default
    std::int32_t worker_deadline_ms = 0;
};

/// Raises where an engine that came back may not decide.
using Trial = std::function<void(Engine &)>;

/// "openvino-fp32" for auto, else `device`: what the engine will call itself.
std::string engine_name(const std::string &device);

/// Whether `device` is "worker", or "worker:" and the device in it.
bool is_worker(const std::string &device);

/// The engine that `options.device` names, in this process. CONFIG_ERROR: no such; BACKEND_UNAVAILABLE: its library is
/// not there.
std::unique_ptr<Engine> open_engine(const Bundle &bundle, const EngineOptions &options);

/// The same out of process. A worker that ends is started again, and decides once it has passed the trial.
std::unique_ptr<Engine> open_worker(const Bundle &bundle, const EngineOptions &options, Trial trial);

std::unique_ptr<Engine> open_fake(const Bundle &bundle);
std::unique_ptr<Engine> open_openvino(const Bundle &bundle, const EngineOptions &options);
std::unique_ptr<Engine> open_tensorrt(const Bundle &bundle, const EngineOptions &options);

} // namespace csflow
