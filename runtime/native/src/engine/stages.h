// The graphs of a bundle in running order and where their files lie: the one place that spells these names. The twin of
// csflow.runtime.engines.stages.
#pragma once

#include "bundle/bundle.h"
#include "engine/name.h"

namespace csflow {

/// One graph in one precision.
struct Stage {
    std::string graph;     // its name in the manifest
    std::string precision; // that it computes in
    std::string file;      // its ONNX file inside the bundle
};

/// The stages that an engine of this name runs, in order; the files need not be there. OpenVINO computes the float32
/// graphs in bfloat16 too, those in two parts (graphs/bf16/<graph>_wide.onnx in float32, graphs/bf16/<graph>.onnx) where
/// the bundle has them, and of the graphs quantised to INT8 it takes the last alone.
/// CONFIG_ERROR where the name has another number of precisions than the bundle has graphs.
std::vector<Stage> stages(const Manifest &manifest, const EngineName &name);

/// A stage's graph, whose content was checked. BUNDLE_ERROR where the bundle has none.
std::unique_ptr<File> graph_of(const Bundle &bundle, const Stage &stage);

/// The plan of a graph inside the bundle: engines/<backend>/<precision>/<graph>.plan.
std::string plan_file(const EngineName &name, const std::string &graph);

/// Whether engines of this backend run plans, which no manifest names, in place of ONNX graphs.
bool runs_plans(const EngineName &name);

/// The files that an engine of this name runs, with their SHA-256; those that are not there are left out.
std::map<std::string, std::string> engine_files(const Bundle &bundle, const EngineName &name);

} // namespace csflow
