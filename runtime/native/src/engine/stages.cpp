#include "engine/stages.h"
#include "bundle/files.h"

namespace csflow {
namespace {

using Files = std::map<std::string, std::string>;

std::string plan_folder(const EngineName &name) { return "engines/" + name.backend + "/" + name.precision; }

std::string folder_of(const EngineName &name, const std::string &precision) {
    return name.backend == "openvino" && precision == "bf16" ? "fp32" : precision;
}

Files plans(const Bundle &bundle, const std::string &folder) {
    Files files;
    for (const std::string &name : names_in(bundle.path() + "/" + folder, ".plan")) {
        files[folder + "/" + name] = File(bundle.path(), folder + "/" + name).sha256();
    }
    return files;
}

} // namespace

std::vector<Stage> stages(const Manifest &manifest, const EngineName &name) {
    const std::size_t count = manifest.graphs.size();
    std::vector<std::string> precisions = name.of_graphs(count);
    if (name.backend == "openvino" && name.precision == "int8") {
        precisions.assign(count, "fp32");
        precisions.back() = "int8";
    }
    std::vector<Stage> found;
    for (std::size_t i = 0; i < count; ++i) {
        const std::string &graph = manifest.graphs[i];
        const std::string file = "graphs/" + folder_of(name, precisions[i]) + "/" + graph + ".onnx";
        found.push_back({graph, precisions[i], file});
    }
    return found;
}

std::string plan_file(const EngineName &name, const std::string &graph) {
    return plan_folder(name) + "/" + graph + ".plan";
}

bool runs_plans(const EngineName &name) { return name.backend.rfind("tensorrt", 0) == 0; }

Files engine_files(const Bundle &bundle, const EngineName &name) {
    if (runs_plans(name)) {
        return plans(bundle, plan_folder(name));
    }
    Files files;
    for (const Stage &stage : stages(bundle.manifest(), name)) {
        if (bundle.has(stage.file)) {
            files[stage.file] = bundle.manifest().files.at(stage.file).sha256;
        }
    }
    return files;
}

} // namespace csflow
