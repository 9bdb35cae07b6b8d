#include "engine/engine.h"

namespace csflow {

std::string engine_name(const std::string &device) {
    // The same numbers on every machine and at every start: a PLC must not meet another precision one morning.
    return device.empty() || device == "auto" ? "openvino-fp32" : device;
}

std::unique_ptr<Engine> open_engine(const Bundle &bundle, const EngineOptions &options) {
    const std::string device = engine_name(options.device);
    if (device == "fake") {
        return open_fake(bundle);
    }
    if (device == "openvino-fp32" || device == "openvino-bf16" || device == "openvino-int8") {
        return open_openvino(bundle, {device, options.library, options.cache});
    }
    if (device == "tensorrt-fp32" || device == "tensorrt-fp16") {
        return open_tensorrt(bundle, options);
    }
    fail(CSFLOW_CONFIG_ERROR, "no device '%.40s': choose auto, openvino-fp32, openvino-bf16, openvino-int8, "
                              "tensorrt-fp32, tensorrt-fp16 or fake, or one of these after worker:", device.c_str());
}

} // namespace csflow
