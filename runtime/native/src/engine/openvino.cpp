// OpenVINO on the CPU, through its C API, loaded when a detector is opened. As csflow.runtime.engines.openvino: one
// compiled model for each graph; what a graph reads are the output buffers of those before it.
#include "engine/blobs.h"
#include "engine/engine.h"
#include "engine/finite.h"
#include "engine/memory.h"
#include "engine/stages.h"

#if defined(CSFLOW_WITH_OPENVINO)

#include "engine/openvino_api.h"
#include "engine/processor.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <thread>

namespace csflow {
namespace {

constexpr const char *kExportAgain = "run 'csflow export' again";
constexpr std::uint64_t kLarge = std::uint64_t{64} << 20; // bytes of a graph that is compiled twice at a first start

/// What a later graph reads of an earlier one.
struct Features {
    const float *values;
    std::size_t count;
};

/// A graph at work.
struct Running {
    Running(const OpenVinoApi &api, const Stage &what)
        : stage(what), compiled(api.ov_compiled_model_free), request(api.ov_infer_request_free) {}

    Stage stage;
    std::vector<std::string> inputs; // names, as the graph has them
    Held<ov_compiled_model_t> compiled;
    Held<ov_infer_request_t> request;
    std::vector<Features> features; // that it gives
};

class OpenVino final : public Engine {
public:
    OpenVino(const Bundle &bundle, const EngineOptions &options)
        : library_(openvino_library(options.library)), api_(library_), name_(options.device), core_(api_.ov_core_free),
          input_(api_.ov_tensor_free), score_(api_.ov_tensor_free), map_tensor_(api_.ov_tensor_free) {
        api_.check(api_.ov_core_create(core_.out()), CSFLOW_BACKEND_UNAVAILABLE, "start");
        std::thread(&OpenVino::load_plugin, this).join();
        for (const Stage &stage : stages(bundle.manifest(), EngineName::parse(options.device))) {
            running_.push_back(std::make_unique<Running>(api_, stage));
            compile(*running_.back(), bundle, options.cache);
            join(running_.size() - 1);
        }
        return_free_memory();
        if (!options.cache.empty()) {
            return_mapped_pages(options.cache);
        }
        const auto side = static_cast<std::size_t>(bundle.manifest().image_size);
        input_data_ = tensor(*running_.front(), "frame", input_, side * side * 3);
        score_data_ = static_cast<float *>(tensor(*running_.back(), "score", score_, sizeof(float)));
        find_map(*running_.back());
    }

    const char *name() const noexcept override { return name_.c_str(); }
    std::uint8_t *input() noexcept override { return static_cast<std::uint8_t *>(input_data_); }
    Map map() const noexcept override { return {map_data_, map_width_, map_height_}; }

    float infer() override {
        for (const auto &running : running_) {
            api_.check(api_.ov_infer_request_infer(running->request.get()), CSFLOW_INFERENCE_ERROR, "run on a frame");
            for (const Features &features : running->features) {
                if (!all_finite(features.values, features.count)) {
                    return no_score();
                }
            }
        }
        return *score_data_;
    }

private:
    // The map of the picture before must not pass for this one's.
    float no_score() noexcept {
        constexpr float none = std::numeric_limits<float>::quiet_NaN();
        std::fill_n(map_data_, map().size(), none);
        return none;
    }

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

    void compile(Running &running, const Bundle &bundle, const std::string &cache) {
        const bool bf16 = running.stage.precision == "bf16";
        if (bf16 && lacks_bf16_) {
            fail(CSFLOW_BACKEND_UNAVAILABLE, "this processor has no bfloat16: open openvino-fp32");
        }
        Held<ov_model_t> model(api_.ov_model_free);
        const auto graph = graph_of(bundle, running.stage);
        api_.check(api_.ov_core_read_model(core_.get(), graph->readable().c_str(), nullptr, model.out()),
                   CSFLOW_BUNDLE_CORRUPTED, ("read " + running.stage.file).c_str());
        prepare_inputs(running, *model.get());
        const FileEntry &entry = bundle.manifest().files.at(running.stage.file);
        const char *hint = bf16 ? "bf16" : "f32";
        const std::string folder = sound_folder(cache, entry.sha256, hint);
        build(running, *model.get(), hint, folder);
        if (!folder.empty() && !is_cached(running)) {
            seal_blobs(folder);
            if (entry.size >= kLarge) {
                // What was compiled just now keeps the graph's weights beside its own. What comes from the cache has
                // them in a mapped file, which need not stay in memory.
                running.compiled.reset();
                build(running, *model.get(), hint, folder);
            }
        }
        api_.check(api_.ov_compiled_model_create_infer_request(running.compiled.get(), running.request.out()),
                   CSFLOW_INFERENCE_ERROR, "prepare the graphs");
    }

    void build(Running &running, const ov_model_t &model, const char *hint, const std::string &cache) {
        // Where eight bits would saturate OpenVINO takes float32, which holds their sums exactly.
        const std::size_t words = sums_in_32_bits() ? 6 : 8;
        api_.check(api_.ov_core_compile_model(core_.get(), &model, "CPU", words, running.compiled.out(),
                                              "INFERENCE_PRECISION_HINT", hint, "PERFORMANCE_HINT", "LATENCY",
                                              "CACHE_DIR", cache.c_str(), "LP_TRANSFORMS_MODE", "NO"),
                   CSFLOW_INFERENCE_ERROR, "compile the graphs");
    }

    bool is_cached(const Running &running) const {
        char *found = nullptr;
        if (api_.ov_compiled_model_get_property(running.compiled.get(), "LOADED_FROM_CACHE", &found) !=
            ov_status_e::OK) {
            return true;
        }
        const bool cached = std::strcmp(found, "YES") == 0 || std::strcmp(found, "true") == 0;
        api_.ov_free(found);
        return cached;
    }

    // Every input takes one frame at a time. Names are asked of the graph: once compiled, an input also bears the names
    // of what was folded into it.
    void prepare_inputs(Running &running, ov_model_t &model) {
        std::size_t count = 0;
        api_.check(api_.ov_model_inputs_size(&model, &count), CSFLOW_BUNDLE_CORRUPTED, "list the inputs");
        std::vector<std::size_t> indices(count);
        std::vector<ov_partial_shape_t> shapes(count);
        std::vector<std::vector<ov_dimension_t>> sides(count);
        for (std::size_t i = 0; i < count; ++i) {
            Held<ov_output_const_port_t> port(api_.ov_output_const_port_free);
            api_.check(api_.ov_model_const_input_by_index(&model, i, port.out()), CSFLOW_BUNDLE_CORRUPTED,
                       "read an input");
            running.inputs.push_back(name_of(*port.get()));
            indices[i] = i;
            sides[i] = shape_of(running, *port.get());
            sides[i].front() = {1, 1};
            shapes[i].rank = {static_cast<std::int64_t>(sides[i].size()), static_cast<std::int64_t>(sides[i].size())};
            shapes[i].dims = sides[i].data();
        }
        api_.check(api_.ov_model_reshape_by_port_indexes(&model, indices.data(), shapes.data(), count),
                   CSFLOW_BUNDLE_CORRUPTED, "set the batch to 1");
    }

    std::string name_of(const ov_output_const_port_t &port) const {
        char *found = nullptr;
        api_.check(api_.ov_port_get_any_name(&port, &found), CSFLOW_BUNDLE_CORRUPTED, "name an input");
        std::string name = found;
        api_.ov_free(found);
        return name;
    }

    std::vector<ov_dimension_t> shape_of(const Running &running, const ov_output_const_port_t &port) const {
        ov_partial_shape_t shape{};
        api_.check(api_.ov_port_get_partial_shape(&port, &shape), CSFLOW_BUNDLE_CORRUPTED, "read a shape");
        const bool fixed = shape.rank.min == shape.rank.max && shape.rank.min > 0;
        std::vector<ov_dimension_t> sides;
        if (fixed) {
            sides.assign(shape.dims, shape.dims + shape.rank.min);
        }
        api_.ov_partial_shape_free(&shape);
        if (!fixed) {
            fail(CSFLOW_BUNDLE_CORRUPTED, "%s has an input without a fixed number of dimensions: %s",
                 running.stage.file.c_str(), kExportAgain);
        }
        return sides;
    }

    // A graph reads where those before it wrote: tensors are joined by their names.
    void join(std::size_t reader) {
        const Running &running = *running_[reader];
        if (reader == 0) {
            return;
        }
        for (const std::string &name : running.inputs) {
            Held<ov_tensor_t> tensor(api_.ov_tensor_free);
            Running &writer = writer_of(name, reader, tensor);
            api_.check(api_.ov_infer_request_set_tensor(running.request.get(), name.c_str(), tensor.get()),
                       CSFLOW_BUNDLE_CORRUPTED, "join the graphs");
            watch(writer, name, tensor);
        }
    }

    // The last graph before `reader` that has a tensor of this name.
    Running &writer_of(const std::string &name, std::size_t reader, Held<ov_tensor_t> &tensor) {
        for (std::size_t i = reader; i-- > 0;) {
            if (api_.ov_infer_request_get_tensor(running_[i]->request.get(), name.c_str(), tensor.out()) ==
                ov_status_e::OK) {
                return *running_[i];
            }
        }
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s reads %.60s, which no graph before it gives: %s",
             running_[reader]->stage.file.c_str(), name.c_str(), kExportAgain);
    }

    void watch(Running &writer, const std::string &name, const Held<ov_tensor_t> &tensor) {
        ov_element_type_e type{};
        std::size_t bytes = 0;
        void *data = nullptr;
        api_.check(api_.ov_tensor_get_element_type(tensor.get(), &type), CSFLOW_BUNDLE_CORRUPTED, "read a type");
        api_.check(api_.ov_tensor_get_byte_size(tensor.get(), &bytes), CSFLOW_BUNDLE_CORRUPTED, "measure a tensor");
        api_.check(api_.ov_tensor_data(tensor.get(), &data), CSFLOW_BUNDLE_CORRUPTED, "reach a tensor");
        if (type == ov_element_type_e::F32) {
            writer.features.push_back({static_cast<const float *>(data), bytes / sizeof(float)});
        } else if (type != ov_element_type_e::U8) {
            fail(CSFLOW_BUNDLE_CORRUPTED, "%.60s between the graphs is neither float32 nor uint8: %s", name.c_str(),
                 kExportAgain);
        }
    }

    void *tensor(const Running &running, const char *name, Held<ov_tensor_t> &held, std::size_t bytes) {
        api_.check(api_.ov_infer_request_get_tensor(running.request.get(), name, held.out()), CSFLOW_BUNDLE_CORRUPTED,
                   (std::string("find ") + name).c_str());
        void *data = nullptr;
        std::size_t size = 0;
        api_.check(api_.ov_tensor_get_byte_size(held.get(), &size), CSFLOW_BUNDLE_CORRUPTED, "measure a tensor");
        api_.check(api_.ov_tensor_data(held.get(), &data), CSFLOW_BUNDLE_CORRUPTED, "reach a tensor");
        if (size != bytes) {
            fail(CSFLOW_BUNDLE_CORRUPTED, "%s of the graphs has %zu bytes, %zu expected: %s", name, size, bytes,
                 kExportAgain);
        }
        return data;
    }

    void find_map(const Running &last) {
        Held<ov_tensor_t> probe(api_.ov_tensor_free);
        api_.check(api_.ov_infer_request_get_tensor(last.request.get(), "anomaly_map", probe.out()),
                   CSFLOW_BUNDLE_CORRUPTED, "find anomaly_map");
        ov_shape_t shape{};
        api_.check(api_.ov_tensor_get_shape(probe.get(), &shape), CSFLOW_BUNDLE_CORRUPTED, "read a shape");
        const bool fits = shape.rank == 3 && shape.dims[0] == 1 && is_side(shape.dims[1]) && is_side(shape.dims[2]);
        map_height_ = fits ? static_cast<std::int32_t>(shape.dims[1]) : 0;
        map_width_ = fits ? static_cast<std::int32_t>(shape.dims[2]) : 0;
        api_.ov_shape_free(&shape);
        if (!fits) {
            fail(CSFLOW_BUNDLE_CORRUPTED, "anomaly_map of the graphs is not (1, h, w): %s", kExportAgain);
        }
        map_data_ = static_cast<float *>(tensor(last, "anomaly_map", map_tensor_, map().size() * sizeof(float)));
    }

    static bool is_side(std::int64_t value) { return value >= 1 && value <= 8192; }

    const Library library_;
    const OpenVinoApi api_;
    const std::string name_;
    Held<ov_core_t> core_;
    std::vector<std::unique_ptr<Running>> running_;
    Held<ov_tensor_t> input_, score_, map_tensor_;
    void *input_data_ = nullptr;
    float *score_data_ = nullptr;
    float *map_data_ = nullptr;
    std::int32_t map_width_ = 0, map_height_ = 0;
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
