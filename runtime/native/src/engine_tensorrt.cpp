#include "engine.h"
namespace csflow {
std::unique_ptr<Engine> open_tensorrt(const Bundle &, const EngineOptions &) {
    fail(CSFLOW_BACKEND_UNAVAILABLE, "this libcsflow was built without TensorRT");
}
} // namespace csflow
