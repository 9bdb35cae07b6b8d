// Compiled against the headers of one major version of TensorRT. Links nothing of NVIDIA.
#include "engine/finite.h"
#include "engine/tensorrt/shim.h"

#include <NvInferRuntime.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace csflow {
namespace {

constexpr std::size_t kMaxValues = std::size_t{1} << 32;

struct Problem {
    std::string words;
};

/// Keeps the last thing that went wrong; TensorRT calls it from any thread.
class Logger final : public nvinfer1::ILogger {
public:
    void log(Severity severity, const char *message) noexcept override {
        if (severity <= Severity::kERROR) {
            std::snprintf(last, sizeof last, "%s", message);
        }
    }
    char last[256] = "no reason given";
};

/// The primary context for the time of a call: TensorRT works in the one that is current.
class Current {
public:
    Current(const CudaDriver &cuda, void *context) : cuda_(cuda) { cuda_.push_context(context); }
    ~Current() {
        void *context = nullptr;
        cuda_.pop_context(&context);
    }
    Current(const Current &) = delete;
    Current &operator=(const Current &) = delete;

private:
    const CudaDriver &cuda_;
};

void require(int cuda_status, const char *doing) {
    if (cuda_status != 0) {
        throw Problem{std::string("cannot ") + doing + ": CUDA error " + std::to_string(cuda_status)};
    }
}

std::size_t value_bytes(nvinfer1::DataType type) {
    switch (type) {
    case nvinfer1::DataType::kFLOAT: return 4;
    case nvinfer1::DataType::kHALF: return 2;
    case nvinfer1::DataType::kUINT8: return 1;
    default: throw Problem{"a plan has a tensor of a type that csflow does not write"};
    }
}

/// Device memory of a tensor, and pinned host memory where it crosses or is looked at.
struct Buffer {
    std::uint64_t device = 0;
    void *host = nullptr;
    std::size_t bytes = 0;
    nvinfer1::DataType type{};
    nvinfer1::Dims dims{};
    bool written = false, read = false; // by a plan
};

bool is_finite(const Buffer &buffer) {
    switch (buffer.type) {
    case nvinfer1::DataType::kFLOAT:
        return all_finite(static_cast<const float *>(buffer.host), buffer.bytes / sizeof(float));
    case nvinfer1::DataType::kHALF:
        return all_finite(static_cast<const std::uint16_t *>(buffer.host), buffer.bytes / sizeof(std::uint16_t));
    default: return true;
    }
}

/// A plan, ready to run.
struct Running {
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
    std::unique_ptr<nvinfer1::IExecutionContext> execution;
};

class Session final : public TrtSession {
public:
    explicit Session(const TrtConfig &config) : cuda_(*config.cuda) {
        require(cuda_.device(&gpu_, 0), "find the GPU");
        require(cuda_.retain_context(&context_, gpu_), "use the GPU");
        const Current current(cuda_, context_);
        try {
            open(config);
        } catch (...) {
            free();
            throw;
        }
    }

    ~Session() override {
        {
            const Current current(cuda_, context_);
            free();
        }
        cuda_.release_context(gpu_);
    }

    std::uint8_t *input() noexcept override { return static_cast<std::uint8_t *>(frame_->host); }
    const float *map() const noexcept override { return static_cast<const float *>(map_->host); }
    std::int32_t map_width() const noexcept override { return static_cast<std::int32_t>(map_->dims.d[2]); }
    std::int32_t map_height() const noexcept override { return static_cast<std::int32_t>(map_->dims.d[1]); }

    bool infer(float *score, char *error, std::size_t size) noexcept override {
        try {
            const Current current(cuda_, context_);
            require(cuda_.copy_in(frame_->device, frame_->host, frame_->bytes, stream_), "copy a frame to the GPU");
            for (const Running &running : running_) {
                if (!running.execution->enqueueV3(static_cast<cudaStream_t>(stream_))) {
                    throw Problem{std::string("TensorRT cannot run a plan: ") + logger_.last};
                }
            }
            for (const Buffer *out : outside_) {
                require(cuda_.copy_out(out->host, out->device, out->bytes, stream_), "copy a result from the GPU");
            }
            require(cuda_.synchronise(stream_), "run a frame");
            *score = look();
            return true;
        } catch (const Problem &problem) {
            std::snprintf(error, size, "%s", problem.words.c_str());
        } catch (...) {
            std::snprintf(error, size, "unexpected fault in TensorRT");
        }
        return false;
    }

private:
    // A plan may turn NaN into a number: what lies between plans is looked at itself, and crosses for it.
    // EfficientNet-B5 gives 304 x 756 values for a picture of 768 pixels, 0.9 MB in float32.
    float look() noexcept {
        const auto finite = [](const Buffer *between) { return is_finite(*between); };
        if (std::all_of(outside_.begin() + 2, outside_.end(), finite)) {
            return *static_cast<const float *>(score_->host);
        }
        constexpr float none = std::numeric_limits<float>::quiet_NaN();
        std::fill_n(static_cast<float *>(map_->host), map_->bytes / sizeof(float), none);
        return none;
    }

    void open(const TrtConfig &config) {
        require(cuda_.create_stream(&stream_, 1 /* not synchronised with the default stream */), "make a stream");
        runtime_.reset(static_cast<nvinfer1::IRuntime *>(config.create_runtime(&logger_, NV_TENSORRT_VERSION)));
        if (runtime_ == nullptr) {
            throw Problem{std::string("TensorRT cannot start: ") + logger_.last};
        }
        for (std::size_t i = 0; i < config.count; ++i) {
            load(config.plans[i], config.sizes[i]);
        }
        const auto side = static_cast<std::size_t>(config.image_size);
        frame_ = crossing("frame", side * side * 3);
        score_ = crossing("score", sizeof(float));
        map_ = crossing("anomaly_map", 0);
        if (map_->dims.nbDims != 3 || map_->dims.d[0] != 1) {
            throw Problem{"anomaly_map of the plan is not (1, h, w)"};
        }
        outside_ = {score_, map_};
        for (const auto &[name, buffer] : buffers_) {
            if (buffer.written && buffer.read) {
                outside_.push_back(crossing(name, buffer.bytes));
            }
        }
    }

    void load(const void *plan, std::size_t bytes) {
        Running &running = running_.emplace_back();
        running.engine.reset(runtime_->deserializeCudaEngine(plan, bytes));
        if (running.engine == nullptr) {
            throw Problem{std::string("TensorRT refuses a plan: ") + logger_.last};
        }
        running.execution.reset(running.engine->createExecutionContext());
        if (running.execution == nullptr) {
            throw Problem{std::string("TensorRT cannot prepare a plan: ") + logger_.last};
        }
        set_batch(running);
        for (std::int32_t i = 0; i < running.engine->getNbIOTensors(); ++i) {
            bind(running, running.engine->getIOTensorName(i));
        }
    }

    // One frame at a time, where the plan leaves it open; outputs follow.
    static void set_batch(const Running &running) {
        const nvinfer1::ICudaEngine &engine = *running.engine;
        for (std::int32_t i = 0; i < engine.getNbIOTensors(); ++i) {
            const char *name = engine.getIOTensorName(i);
            nvinfer1::Dims dims = engine.getTensorShape(name);
            if (engine.getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT && dims.nbDims > 0 && dims.d[0] < 0) {
                dims.d[0] = 1;
                if (!running.execution->setInputShape(name, dims)) {
                    throw Problem{"the plan does not take one frame at a time"};
                }
            }
        }
    }

    // What one plan writes and a later one reads has one name and one buffer.
    void bind(const Running &running, const char *name) {
        Buffer &buffer = buffers_[name];
        const nvinfer1::Dims dims = running.execution->getTensorShape(name);
        const nvinfer1::DataType type = running.engine->getTensorDataType(name);
        const std::size_t bytes = value_bytes(type) * values(dims);
        if (buffer.device == 0) {
            buffer.dims = dims;
            buffer.type = type;
            buffer.bytes = bytes;
            require(cuda_.allocate(&buffer.device, bytes), "allocate memory of the GPU");
        } else if (buffer.type != type || buffer.bytes != bytes) {
            throw Problem{std::string("the plans do not agree on the type or size of ") + name};
        }
        const bool reads = running.engine->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
        buffer.read |= reads;
        buffer.written |= !reads;
        // NOLINTNEXTLINE(performance-no-int-to-ptr): a device address is a number to the driver, a pointer to TensorRT
        if (!running.execution->setTensorAddress(name, reinterpret_cast<void *>(buffer.device))) {
            throw Problem{std::string("TensorRT refuses the buffer of ") + name};
        }
    }

    static std::size_t values(const nvinfer1::Dims &dims) {
        std::size_t count = 1;
        for (std::int32_t i = 0; i < dims.nbDims; ++i) {
            if (dims.d[i] < 1 || count > kMaxValues / static_cast<std::size_t>(dims.d[i])) {
                throw Problem{"a tensor of the plan has no fixed size"};
            }
            count *= static_cast<std::size_t>(dims.d[i]);
        }
        return count;
    }

    const Buffer *crossing(const std::string &name, std::size_t bytes) {
        const auto found = buffers_.find(name);
        if (found == buffers_.end() || (bytes != 0 && found->second.bytes != bytes)) {
            throw Problem{"the plans have no " + name + " of the expected size"};
        }
        require(cuda_.allocate_host(&found->second.host, found->second.bytes, 0), "allocate pinned memory");
        return &found->second;
    }

    // Contexts before engines before the runtime; the logger outlives all.
    void free() noexcept {
        for (Running &running : running_) {
            running.execution.reset();
        }
        running_.clear();
        runtime_.reset();
        for (const auto &[name, buffer] : buffers_) {
            if (buffer.host != nullptr) {
                cuda_.release_host(buffer.host);
            }
            if (buffer.device != 0) {
                cuda_.release(buffer.device);
            }
        }
        if (stream_ != nullptr) {
            cuda_.destroy_stream(stream_);
        }
    }

    const CudaDriver &cuda_;
    int gpu_ = 0;
    void *context_ = nullptr;
    void *stream_ = nullptr;
    Logger logger_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::vector<Running> running_;
    std::map<std::string, Buffer> buffers_;
    const Buffer *frame_ = nullptr;
    const Buffer *score_ = nullptr;
    const Buffer *map_ = nullptr;
    std::vector<const Buffer *> outside_; // what is copied from the GPU: score, map, then what lies between the plans
};

} // namespace
} // namespace csflow

extern "C" __attribute__((visibility("default"))) csflow::TrtSession *
csflow_trt_open(const csflow::TrtConfig *config, char *error, std::size_t size) {
    try {
        return new csflow::Session(*config);
    } catch (const csflow::Problem &problem) {
        std::snprintf(error, size, "%s", problem.words.c_str());
    } catch (...) {
        std::snprintf(error, size, "not enough memory, or an unexpected fault");
    }
    return nullptr;
}
