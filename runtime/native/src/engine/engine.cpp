#include "engine/engine.h"
#include "engine/name.h"

#include <algorithm>

namespace csflow {
namespace {

bool is_made_of(const EngineName &name, const std::vector<std::string> &known, const Bundle &bundle) {
    const std::vector<std::string> parts = name.of_graphs(bundle.manifest().graphs.size());
    return std::all_of(parts.begin(), parts.end(), [&](const std::string &part) {
        return std::find(known.begin(), known.end(), part) != known.end();
    });
}

} // namespace

std::string engine_name(const std::string &device) {
    // The same numbers on every machine and at every start: a PLC must not meet another precision one morning.
    return device.empty() || device == "auto" ? "openvino-fp32" : device;
}

std::unique_ptr<Engine> open_engine(const Bundle &bundle, const EngineOptions &options) {
    const std::string device = engine_name(options.device);
    const EngineName name = EngineName::parse(device);
    if (device == "fake") {
        return open_fake(bundle);
    }
    if (name.backend == "openvino" && is_made_of(name, {"fp32", "bf16", "int8"}, bundle)) {
        return open_openvino(bundle, {device, options.library, options.cache});
    }
    if (device == "tensorrt-fp32" || device == "tensorrt-fp16") {
        return open_tensorrt(bundle, options);
    }
    fail(CSFLOW_CONFIG_ERROR, "no device '%.40s': choose auto, openvino-fp32, openvino-bf16, openvino-int8, "
                              "tensorrt-fp32, tensorrt-fp16 or fake, or one of these after worker:", device.c_str());
}

} // namespace csflow
