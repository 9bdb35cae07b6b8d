// OpenVINO on the CPU, through its C API, loaded when a detector is opened. As csflow.runtime.engines.openvino.engine does:
// two compiled models, the flow's inputs are the backbone's output buffers.
#include "engine/engine.h"
#include "engine/library.h"

#if defined(CSFLOW_WITH_OPENVINO)

#include <openvino/c/openvino.h>

#include <algorithm>
#include <cstring>
#include <thread>

namespace csflow {
namespace {

constexpr const char *kBackbone = "graphs/fp32/backbone.onnx";
constexpr const char *kFlow = "graphs/fp32/flow.onnx";
constexpr const char *kInt8Flow = "graphs/int8/flow.onnx"; // its convolutions; all else in float32

const char *flow_of(const Bundle &bundle, const std::string &device) {
    if (device != "openvino-int8") {
        return kFlow;
    }
    if (!bundle.has(kInt8Flow)) {
        fail(CSFLOW_BUNDLE_ERROR, "bundle %s has no %s: run 'csflow export --int8 --bundle %s'", bundle.path().c_str(),
             kInt8Flow, bundle.path().c_str());
    }
    return kInt8Flow;
}

/// The functions that are used, by their declarations in OpenVINO's headers.
struct Api {
    explicit Api(const Library &library)
#define CSFLOW_LOAD(name) name(library.function<decltype(&::name)>(#name))
        : CSFLOW_LOAD(ov_core_create), CSFLOW_LOAD(ov_core_free), CSFLOW_LOAD(ov_core_get_property),
          CSFLOW_LOAD(ov_core_read_model_from_memory_buffer), CSFLOW_LOAD(ov_core_compile_model), CSFLOW_LOAD(ov_model_free), CSFLOW_LOAD(ov_model_inputs_size),
          CSFLOW_LOAD(ov_model_const_input_by_index), CSFLOW_LOAD(ov_model_reshape_by_port_indexes),
          CSFLOW_LOAD(ov_port_get_any_name), CSFLOW_LOAD(ov_port_get_partial_shape),
          CSFLOW_LOAD(ov_output_const_port_free), CSFLOW_LOAD(ov_partial_shape_free),
          CSFLOW_LOAD(ov_compiled_model_free), CSFLOW_LOAD(ov_compiled_model_create_infer_request),
          CSFLOW_LOAD(ov_infer_request_free), CSFLOW_LOAD(ov_infer_request_get_tensor),
          CSFLOW_LOAD(ov_infer_request_set_tensor), CSFLOW_LOAD(ov_infer_request_infer), CSFLOW_LOAD(ov_tensor_free),
          CSFLOW_LOAD(ov_tensor_data), CSFLOW_LOAD(ov_tensor_get_byte_size), CSFLOW_LOAD(ov_tensor_get_shape),
          CSFLOW_LOAD(ov_shape_free), CSFLOW_LOAD(ov_free), CSFLOW_LOAD(ov_get_last_err_msg) {}
#undef CSFLOW_LOAD

#define CSFLOW_MEMBER(name) decltype(&::name) name
    CSFLOW_MEMBER(ov_core_create);
    CSFLOW_MEMBER(ov_core_free);
    CSFLOW_MEMBER(ov_core_get_property);
    CSFLOW_MEMBER(ov_core_read_model_from_memory_buffer);
    CSFLOW_MEMBER(ov_core_compile_model);
    CSFLOW_MEMBER(ov_model_free);
    CSFLOW_MEMBER(ov_model_inputs_size);
    CSFLOW_MEMBER(ov_model_const_input_by_index);
    CSFLOW_MEMBER(ov_model_reshape_by_port_indexes);
    CSFLOW_MEMBER(ov_port_get_any_name);
    CSFLOW_MEMBER(ov_port_get_partial_shape);
    CSFLOW_MEMBER(ov_output_const_port_free);
    CSFLOW_MEMBER(ov_partial_shape_free);
    CSFLOW_MEMBER(ov_compiled_model_free);
    CSFLOW_MEMBER(ov_compiled_model_create_infer_request);
    CSFLOW_MEMBER(ov_infer_request_free);
    CSFLOW_MEMBER(ov_infer_request_get_tensor);
    CSFLOW_MEMBER(ov_infer_request_set_tensor);
    CSFLOW_MEMBER(ov_infer_request_infer);
    CSFLOW_MEMBER(ov_tensor_free);
    CSFLOW_MEMBER(ov_tensor_data);
    CSFLOW_MEMBER(ov_tensor_get_byte_size);
    CSFLOW_MEMBER(ov_tensor_get_shape);
    CSFLOW_MEMBER(ov_shape_free);
    CSFLOW_MEMBER(ov_free);
    CSFLOW_MEMBER(ov_get_last_err_msg);
#undef CSFLOW_MEMBER

    void check(ov_status_e status, csflow_status ours, const char *doing) const {
        if (status != ov_status_e::OK) {
            const char *said = ov_get_last_err_msg();
            fail(ours, "OpenVINO cannot %s: %.300s", doing, last_line(said != nullptr ? said : "").c_str());
        }
    }
};

/// One of OpenVINO's objects, freed at the end.
template <typename T> class Held {
public:
    explicit Held(void (*release)(T *)) noexcept : release_(release) {}
    ~Held() {
        if (object_ != nullptr) {
            release_(object_);
        }
    }
    Held(const Held &) = delete;
    Held &operator=(const Held &) = delete;

    T **out() noexcept { return &object_; }
    T *get() const noexcept { return object_; }

private:
    void (*release_)(T *);
    T *object_ = nullptr;
};

class OpenVino final : public Engine {
public:
    OpenVino(const Bundle &bundle, const EngineOptions &options)
        : library_(openvino_library(options.library)), api_(library_), name_(options.device), core_(api_.ov_core_free),
          backbone_(api_), flow_(api_), input_(api_.ov_tensor_free), score_(api_.ov_tensor_free),
          map_tensor_(api_.ov_tensor_free) {
        api_.check(api_.ov_core_create(core_.out()), CSFLOW_BACKEND_UNAVAILABLE, "start");
        std::thread(&OpenVino::load_plugin, this).join();
        if (lacks_bf16_ && options.device == "openvino-bf16") {
            fail(CSFLOW_BACKEND_UNAVAILABLE, "this processor has no bfloat16: open openvino-fp32");
        }
        compile(backbone_, bundle, kBackbone, options);
        compile(flow_, bundle, flow_of(bundle, options.device), options);
        connect();
        const auto side = static_cast<std::size_t>(bundle.manifest().image_size);
        input_data_ = tensor(backbone_, "frame", input_, side * side * 3);
        score_data_ = static_cast<float *>(tensor(flow_, "score", score_, sizeof(float)));
        find_map();
    }

    const char *name() const noexcept override { return name_.c_str(); }
    std::uint8_t *input() noexcept override { return static_cast<std::uint8_t *>(input_data_); }
    Map map() const noexcept override { return map_; }

    float infer() override {
        run(backbone_);
        run(flow_);
        return *score_data_;
    }

private:
    struct Stage {
        explicit Stage(const Api &api)
            : model(api.ov_model_free), compiled(api.ov_compiled_model_free), request(api.ov_infer_request_free) {}
        Held<ov_model_t> model;
        Held<ov_compiled_model_t> compiled;
        Held<ov_infer_request_t> request;
    };

    // The CPU plugin gives the thread that loads it a signal stack, and unmaps that when it is unloaded: were it the
    // host's thread, the host's next signal could find no stack. A thread that ends at once loads it; what fails here
    // fails again, with its reason, in `compile`.
    void load_plugin() noexcept {
        char *found = nullptr;
        if (api_.ov_core_get_property(core_.get(), "CPU", "OPTIMIZATION_CAPABILITIES", &found) == ov_status_e::OK) {
            lacks_bf16_ = std::strstr(found, "BF16") == nullptr;
            api_.ov_free(found);
        }
    }

    void run(const Stage &stage) const {
        api_.check(api_.ov_infer_request_infer(stage.request.get()), CSFLOW_INFERENCE_ERROR, "run on a frame");
    }

    void compile(Stage &stage, const Bundle &bundle, const char *graph, const EngineOptions &options) {
        const std::string onnx = bundle.read(graph);
        api_.check(api_.ov_core_read_model_from_memory_buffer(core_.get(), onnx.data(), onnx.size(), nullptr,
                                                              stage.model.out()),
                   CSFLOW_BUNDLE_CORRUPTED, (std::string("read ") + graph).c_str());
        reshape(stage);
        const char *hint = options.device == "openvino-bf16" ? "bf16" : "f32";
        const std::size_t words = options.cache.empty() ? 4 : 6;
        api_.check(api_.ov_core_compile_model(core_.get(), stage.model.get(), "CPU", words, stage.compiled.out(),
                                              "INFERENCE_PRECISION_HINT", hint, "PERFORMANCE_HINT", "LATENCY",
                                              "CACHE_DIR", options.cache.c_str()),
                   CSFLOW_INFERENCE_ERROR, "compile the graphs");
        api_.check(api_.ov_compiled_model_create_infer_request(stage.compiled.get(), stage.request.out()),
                   CSFLOW_INFERENCE_ERROR, "prepare the graphs");
    }

    // Every input takes one frame at a time.
    void reshape(Stage &stage) {
        std::size_t count = 0;
        api_.check(api_.ov_model_inputs_size(stage.model.get(), &count), CSFLOW_BUNDLE_CORRUPTED, "list the inputs");
        std::vector<std::size_t> indices(count);
        std::vector<ov_partial_shape_t> shapes(count);
        std::vector<std::vector<ov_dimension_t>> sides(count);
        for (std::size_t i = 0; i < count; ++i) {
            indices[i] = i;
            sides[i] = shape_of(stage, i);
            sides[i].front() = {1, 1};
            shapes[i].rank = {static_cast<std::int64_t>(sides[i].size()), static_cast<std::int64_t>(sides[i].size())};
            shapes[i].dims = sides[i].data();
        }
        api_.check(api_.ov_model_reshape_by_port_indexes(stage.model.get(), indices.data(), shapes.data(), count),
                   CSFLOW_BUNDLE_CORRUPTED, "set the batch to 1");
    }

    std::vector<ov_dimension_t> shape_of(const Stage &stage, std::size_t index) const {
        Held<ov_output_const_port_t> port(api_.ov_output_const_port_free);
        api_.check(api_.ov_model_const_input_by_index(stage.model.get(), index, port.out()), CSFLOW_BUNDLE_CORRUPTED,
                   "read an input");
        ov_partial_shape_t shape{};
        api_.check(api_.ov_port_get_partial_shape(port.get(), &shape), CSFLOW_BUNDLE_CORRUPTED, "read a shape");
        const bool fixed = shape.rank.min == shape.rank.max && shape.rank.min > 0;
        std::vector<ov_dimension_t> sides;
        if (fixed) {
            sides.assign(shape.dims, shape.dims + shape.rank.min);
        }
        api_.ov_partial_shape_free(&shape);
        if (!fixed) {
            fail(CSFLOW_BUNDLE_CORRUPTED, "a graph has an input without a fixed number of dimensions: run 'csflow "
                                          "export' again");
        }
        return sides;
    }

    // The flow reads where the backbone wrote.
    void connect() {
        std::size_t count = 0;
        api_.check(api_.ov_model_inputs_size(flow_.model.get(), &count), CSFLOW_BUNDLE_CORRUPTED, "list the inputs");
        for (std::size_t i = 0; i < count; ++i) {
            Held<ov_output_const_port_t> port(api_.ov_output_const_port_free);
            api_.check(api_.ov_model_const_input_by_index(flow_.model.get(), i, port.out()), CSFLOW_BUNDLE_CORRUPTED,
                       "read an input");
            char *found = nullptr;
            api_.check(api_.ov_port_get_any_name(port.get(), &found), CSFLOW_BUNDLE_CORRUPTED, "name an input");
            const std::string name = found;
            api_.ov_free(found);
            Held<ov_tensor_t> tensor(api_.ov_tensor_free);
            api_.check(api_.ov_infer_request_get_tensor(backbone_.request.get(), name.c_str(), tensor.out()),
                       CSFLOW_BUNDLE_CORRUPTED, "join backbone and flow");
            api_.check(api_.ov_infer_request_set_tensor(flow_.request.get(), name.c_str(), tensor.get()),
                       CSFLOW_BUNDLE_CORRUPTED, "join backbone and flow");
        }
    }

    void *tensor(const Stage &stage, const char *name, Held<ov_tensor_t> &held, std::size_t bytes) {
        api_.check(api_.ov_infer_request_get_tensor(stage.request.get(), name, held.out()), CSFLOW_BUNDLE_CORRUPTED,
                   (std::string("find ") + name).c_str());
        void *data = nullptr;
        std::size_t size = 0;
        api_.check(api_.ov_tensor_get_byte_size(held.get(), &size), CSFLOW_BUNDLE_CORRUPTED, "measure a tensor");
        api_.check(api_.ov_tensor_data(held.get(), &data), CSFLOW_BUNDLE_CORRUPTED, "reach a tensor");
        if (size != bytes) {
            fail(CSFLOW_BUNDLE_CORRUPTED, "%s of the graphs has %zu bytes, %zu expected: run 'csflow export' again",
                 name, size, bytes);
        }
        return data;
    }

    void find_map() {
        Held<ov_tensor_t> probe(api_.ov_tensor_free);
        api_.check(api_.ov_infer_request_get_tensor(flow_.request.get(), "anomaly_map", probe.out()),
                   CSFLOW_BUNDLE_CORRUPTED, "find anomaly_map");
        ov_shape_t shape{};
        api_.check(api_.ov_tensor_get_shape(probe.get(), &shape), CSFLOW_BUNDLE_CORRUPTED, "read a shape");
        const bool fits = shape.rank == 3 && shape.dims[0] == 1 && is_side(shape.dims[1]) && is_side(shape.dims[2]);
        map_ = fits ? Map{nullptr, static_cast<std::int32_t>(shape.dims[2]), static_cast<std::int32_t>(shape.dims[1])}
                    : Map{nullptr, 0, 0};
        api_.ov_shape_free(&shape);
        if (!fits) {
            fail(CSFLOW_BUNDLE_CORRUPTED, "anomaly_map of the graphs is not (1, h, w): run 'csflow export' again");
        }
        map_.values = static_cast<float *>(tensor(flow_, "anomaly_map", map_tensor_, map_.size() * sizeof(float)));
    }

    static bool is_side(std::int64_t value) { return value >= 1 && value <= 8192; }

    const Library library_;
    const Api api_;
    const std::string name_;
    Held<ov_core_t> core_;
    Stage backbone_, flow_;
    Held<ov_tensor_t> input_, score_, map_tensor_;
    void *input_data_ = nullptr;
    float *score_data_ = nullptr;
    Map map_{};
    bool lacks_bf16_ = false;
};

} // namespace

std::unique_ptr<Engine> open_openvino(const Bundle &bundle, const EngineOptions &options) {
    return std::make_unique<OpenVino>(bundle, options);
}

} // namespace csflow

#else

namespace csflow {

std::unique_ptr<Engine> open_openvino(const Bundle &, const EngineOptions &) {
    fail(CSFLOW_BACKEND_UNAVAILABLE, "this libcsflow was built without OpenVINO: build it with "
                                     "-DCSFLOW_OPENVINO_INCLUDE=..., or open another device");
}

} // namespace csflow

#endif
