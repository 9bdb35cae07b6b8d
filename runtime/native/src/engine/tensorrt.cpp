// TensorRT: everything that can be refused is refused in words before a single object of TensorRT exists; without a
// driver its own constructors crash. What talks to it lies in libcsflow_trt10.so and libcsflow_trt11.so.
#include "engine/engine.h"
#include "engine/plan.h"
#include "engine/tensorrt/shim.h"

namespace csflow {
namespace {

Library inference_library(const EngineOptions &options, std::int32_t major) {
    const std::string name = options.library.empty() ? "libnvinfer.so." + std::to_string(major) : options.library;
    return {{name}, "TensorRT", "install the TensorRT that built the plans, or name libnvinfer.so in options.library"};
}

Library shim_library(std::int32_t major) {
    const std::string name = "libcsflow_trt" + std::to_string(major) + ".so";
    // csflow-worker may lie in a folder beside the libraries.
    return {{own_folder() + name, own_folder() + "../" + name, name}, "libcsflow_trt",
            "build libcsflow with -DCSFLOW_TENSORRT_INCLUDE=... for this version of TensorRT"};
}

std::vector<Plan> load_plans(const Bundle &bundle, const EngineName &name) {
    std::vector<Plan> plans;
    for (const Stage &stage : stages(bundle.manifest(), name)) {
        plans.push_back(load_plan(bundle, name, stage));
    }
    return plans;
}

class TensorRt final : public Engine {
public:
    TensorRt(const Bundle &bundle, const EngineOptions &options)
        : name_(EngineName::parse(options.device)), text_(options.device), plans_(load_plans(bundle, name_)),
          library_(inference_library(options, plans_.front().header.major)),
          session_(open(bundle.manifest().image_size)) {}

    const char *name() const noexcept override { return text_.c_str(); }
    std::uint8_t *input() noexcept override { return session_->input(); }
    Map map() const noexcept override { return {session_->map(), session_->map_width(), session_->map_height()}; }

    float infer() override {
        char error[300] = "";
        float score = 0.0F;
        if (!session_->infer(&score, error, sizeof error)) {
            fail(CSFLOW_INFERENCE_ERROR, "%s; restart, the GPU's context may be lost", error);
        }
        return score;
    }

private:
    std::unique_ptr<TrtSession> open(std::int32_t image_size) {
        // The library first: it can be asked without a GPU.
        const std::int32_t version = library_.function<std::int32_t (*)()>("getInferLibVersion")();
        for (const Plan &plan : plans_) {
            require_version(plan, version);
        }
        cuda_ = std::make_unique<CudaDriver>();
        std::vector<const void *> bytes;
        std::vector<std::size_t> sizes;
        for (const Plan &plan : plans_) {
            require_gpu(plan, cuda_->compute_capability());
            bytes.push_back(plan.bytes.data());
            sizes.push_back(plan.bytes.size());
        }
        const Library shim = shim_library(plans_.front().header.major);
        const auto create = library_.function<void *(*)(void *, std::int32_t)>("createInferRuntime_INTERNAL");
        const TrtConfig config{bytes.data(), sizes.data(), bytes.size(), image_size, create, cuda_.get()};
        char error[300] = "";
        std::unique_ptr<TrtSession> session(shim.function<TrtOpen>("csflow_trt_open")(&config, error, sizeof error));
        if (session == nullptr) {
            fail(CSFLOW_ENGINE_ERROR, "%s; run 'csflow export --%s' on this machine", error, name_.precision.c_str());
        }
        plans_.clear(); // TensorRT has copied them
        return session;
    }

    const EngineName name_;
    const std::string text_;
    std::vector<Plan> plans_; // until they are loaded
    const Library library_;
    std::unique_ptr<CudaDriver> cuda_; // outlives the session
    std::unique_ptr<TrtSession> session_;
};

} // namespace

std::unique_ptr<Engine> open_tensorrt(const Bundle &bundle, const EngineOptions &options) {
    return std::make_unique<TensorRt>(bundle, options);
}

} // namespace csflow
