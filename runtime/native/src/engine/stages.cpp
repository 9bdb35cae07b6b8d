#include "engine/stages.h"
#include "bundle/files.h"

namespace csflow {
namespace {

using Files = std::map<std::string, std::string>;

std::string plan_folder(const EngineName &name) { return "engines/" + name.backend + "/" + name.precision; }

std::string graph_file(const std::string &precision, const std::string &graph) {
    return "graphs/" + precision + "/" + graph + ".onnx";
}

// OpenVINO computes the float32 graphs in bfloat16 too, in two parts where the bundle has them: what stays in float32,
// and the rest.
void add_stages(const Manifest &manifest, const EngineName &name, const std::string &graph,
                const std::string &precision, std::vector<Stage> &found) {
    if (name.backend != "openvino" || precision != "bf16") {
        found.push_back({graph, precision, graph_file(precision, graph)});
        return;
    }
    const std::string wide = graph_file("bf16", graph + "_wide"), rest = graph_file("bf16", graph);
    if (manifest.files.count(wide) > 0 && manifest.files.count(rest) > 0) {
        found.push_back({graph + "_wide", "fp32", wide});
        found.push_back({graph, precision, rest});
    } else {
        found.push_back({graph, precision, graph_file("fp32", graph)});
    }
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
        add_stages(manifest, name, manifest.graphs[i], precisions[i], found);
    }
    return found;
}

std::unique_ptr<File> graph_of(const Bundle &bundle, const Stage &stage) {
    if (stage.precision == "int8" && !bundle.has(stage.file)) {
        fail(CSFLOW_BUNDLE_ERROR, "bundle %s has no %s: run 'csflow export --int8 --bundle %s'", bundle.path().c_str(),
             stage.file.c_str(), bundle.path().c_str());
    }
    return bundle.checked(stage.file);
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
