// What a TensorRT plan says about itself, read without TensorRT and without a GPU. The twin of plan_header and
// plan_record in csflow.runtime.engines.tensorrt.
#pragma once

#include "engine/stages.h"

#include <string>
#include <string_view>
#include <vector>

namespace csflow {

struct PlanHeader {
    bool rtx; // of TensorRT for RTX
    std::int32_t major, minor, patch, build;

    /// As getInferLibVersion encodes it: major * 10000 + minor * 100 + patch.
    std::int32_t number() const noexcept { return major * 10000 + minor * 100 + patch; }
    std::string text() const;
};

/// The header of a plan's bytes. ENGINE_ERROR where they are no plan, cut off, or of another serialisation.
PlanHeader parse_plan_header(std::string_view plan, const std::string &where);

/// A plan of a bundle, checked against its record, its header and the graph it was built from.
struct Plan {
    std::string bytes;
    PlanHeader header;
    std::vector<std::string> compute_capabilities; // GPUs that it runs on, such as "8.7"
};

/// The plan of a stage. BUNDLE_ERROR: there is none; BUNDLE_CORRUPTED: it is damaged; ENGINE_MISMATCH: it was built
/// from another graph, or for TensorRT for RTX.
Plan load_plan(const Bundle &bundle, const EngineName &engine, const Stage &stage);

/// ENGINE_MISMATCH where the plan was built by another version than `library_version` (as getInferLibVersion has it).
void require_version(const Plan &plan, std::int32_t library_version);

/// ENGINE_MISMATCH where the plan was built for another GPU than one of `compute_capability`, such as "8.7".
void require_gpu(const Plan &plan, const std::string &compute_capability);

} // namespace csflow
