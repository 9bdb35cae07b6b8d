// In place of TensorRT, on the CPU. A plan is a header of 100 bytes and a line for each tensor: "in" or "out", its name,
// "u8" or "f32", its sides (-1: one frame at a time, once it is said). Every output is the sum of the inputs, pixels as
// shares of 255. The stubs are made from NVIDIA's headers: whatever csflow does not call ends the process.
#include "stubs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using namespace nvinfer1;

namespace {

struct Tensor {
    std::string name, type;
    bool input;
    Dims dims{};

    std::size_t size() const {
        std::size_t count = 1;
        for (int i = 0; i < dims.nbDims; ++i) {
            count *= static_cast<std::size_t>(std::max<std::int64_t>(dims.d[i], 1));
        }
        return count;
    }
};

using Tensors = std::vector<Tensor>;

const Tensor &named(const Tensors &tensors, const std::string &name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor &tensor) { return tensor.name == name; });
}

// A dark first pixel makes features that are no numbers.
float value(const Tensor &tensor, const void *data, std::size_t i) {
    if (tensor.type == "f32") {
        return static_cast<const float *>(data)[i % tensor.size()];
    }
    const auto *pixels = static_cast<const unsigned char *>(data);
    return pixels[0] < 8 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(pixels[i]) / 255.0F;
}

class Context final : public IExecutionContext {
public:
    explicit Context(const Tensors &tensors) : impl_(tensors) { mImpl = &impl_; }

private:
    struct Impl final : StubExecutionContext {
        explicit Impl(const Tensors &given) : tensors(given) {}
        Dims getTensorShape(char const *name) const noexcept override { return named(tensors, name).dims; }
        bool setInputShape(char const *, Dims const &dims) noexcept override {
            for (Tensor &tensor : tensors) {
                tensor.dims.d[0] = dims.d[0];
            }
            return true;
        }
        bool setTensorAddress(char const *name, void *data) noexcept override {
            addresses[name] = data;
            return true;
        }
        // A maximum swallows NaN, as on a GPU.
        bool enqueueV3(cudaStream_t) noexcept override {
            for (const Tensor &out : tensors) {
                for (std::size_t i = 0; !out.input && i < out.size(); ++i) {
                    float sum = 0.0F;
                    for (const Tensor &in : tensors) {
                        sum += in.input ? value(in, addresses[in.name], i) : 0.0F;
                    }
                    const bool last = out.name == "score" || out.name == "anomaly_map";
                    static_cast<float *>(addresses[out.name])[i] = last ? std::fmax(sum, 0.0F) : sum;
                }
            }
            return true;
        }
        Tensors tensors;
        std::map<std::string, void *> addresses;
    };
    Impl impl_;
};

class Engine final : public ICudaEngine {
public:
    explicit Engine(const Tensors &tensors) : impl_(tensors) { mImpl = &impl_; }

private:
    struct Impl final : StubCudaEngine {
        explicit Impl(const Tensors &given) : tensors(given) {}
        IExecutionContext *createExecutionContext(ExecutionContextAllocationStrategy) noexcept override {
            return new Context(tensors);
        }
        std::int32_t getNbIOTensors() const noexcept override { return static_cast<std::int32_t>(tensors.size()); }
        char const *getIOTensorName(std::int32_t i) const noexcept override { return tensors[i].name.c_str(); }
        Dims getTensorShape(char const *name) const noexcept override { return named(tensors, name).dims; }
        DataType getTensorDataType(char const *name) const noexcept override {
            return named(tensors, name).type == "u8" ? DataType::kUINT8 : DataType::kFLOAT;
        }
        TensorIOMode getTensorIOMode(char const *name) const noexcept override {
            return named(tensors, name).input ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
        }
        Tensors tensors;
    };
    Impl impl_;
};

Tensors parsed(const std::string &text) {
    Tensors tensors;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        Tensor tensor;
        std::string side;
        words >> side >> tensor.name >> tensor.type;
        tensor.input = side == "in";
        for (std::int64_t length = 0; words >> length;) {
            tensor.dims.d[tensor.dims.nbDims++] = length;
        }
        tensors.push_back(tensor);
    }
    return tensors;
}

class Runtime final : public IRuntime {
public:
    Runtime() { mImpl = &impl_; }

private:
    struct Impl final : StubRuntime {
        ICudaEngine *deserializeCudaEngine(void const *plan, std::size_t size) noexcept override {
            return new Engine(parsed(std::string(static_cast<const char *>(plan), size).substr(100)));
        }
    };
    Impl impl_;
};

} // namespace

extern "C" std::int32_t getInferLibVersion() noexcept { return VERSION; }
extern "C" void *createInferRuntime_INTERNAL(void *, std::int32_t) noexcept { return new Runtime; }
