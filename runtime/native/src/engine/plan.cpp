#include "engine/plan.h"
#include "bundle/files.h"
#include "bundle/sha256.h"

#include <algorithm>
#include <cstdint>

namespace csflow {
namespace {

constexpr std::size_t kHeaderBytes = 40;
constexpr const char *kRebuild = "build it again on this machine with 'csflow export --fp16'";

std::uint64_t little_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
        value = value << 8 | static_cast<unsigned char>(bytes[i]);
    }
    return value;
}

std::int32_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<unsigned char>(bytes[at]); }

/// The fields of a plan's record that decide whether it may run.
struct PlanRecord {
    std::string onnx_sha256, plan_sha256;
    std::uint64_t plan_size;
    std::vector<std::string> compute_capabilities;
};

std::string text_at(const Json &record, const char *key, const std::string &where) {
    const Json *found = record.find(key);
    if (found == nullptr || found->kind != Json::TEXT) {
        fail(CSFLOW_ENGINE_ERROR, "%s: %s is missing; %s", where.c_str(), key, kRebuild);
    }
    return found->text;
}

std::uint64_t size_at(const Json &record, const std::string &where) {
    const Json *found = record.find("plan_size");
    if (found == nullptr || found->kind != Json::WHOLE || found->whole < 0) {
        fail(CSFLOW_ENGINE_ERROR, "%s: plan_size is missing; %s", where.c_str(), kRebuild);
    }
    return static_cast<std::uint64_t>(found->whole);
}

// Not strict: what else the builder writes down is of no consequence here.
PlanRecord parse_plan_record(const std::string &text, const std::string &where) {
    const Json json = parse_json(text, CSFLOW_ENGINE_ERROR, where, kRebuild);
    const Json *version = json.find("format_version");
    if (version != nullptr && !(version->kind == Json::WHOLE && version->whole == 1)) {
        fail(CSFLOW_ENGINE_ERROR, "%s is of a version that this libcsflow does not read: update csflow", where.c_str());
    }
    PlanRecord record{text_at(json, "onnx_sha256", where), text_at(json, "plan_sha256", where), size_at(json, where), {}};
    if (const Json *listed = json.find("compute_capabilities")) {
        for (const Json &item : listed->items) {
            record.compute_capabilities.push_back(item.text);
        }
    }
    return record;
}

std::string version_text(std::int32_t number) {
    return std::to_string(number / 10000) + "." + std::to_string(number / 100 % 100) + "." +
           std::to_string(number % 100);
}

} // namespace

std::string PlanHeader::text() const { return version_text(number()) + "." + std::to_string(build); }

PlanHeader parse_plan_header(std::string_view plan, const std::string &where) {
    const std::string_view tag = plan.substr(0, 4);
    if (tag != "ftrt" && tag != "vtrt") {
        fail(CSFLOW_ENGINE_ERROR, "%s is no TensorRT plan: it does not begin with ftrt or vtrt; %s", where.c_str(),
             kRebuild);
    }
    if (plan.size() < kHeaderBytes) {
        fail(CSFLOW_ENGINE_ERROR, "%s is cut off: %zu bytes, the header alone has %zu; copy it again", where.c_str(),
             plan.size(), kHeaderBytes);
    }
    if (little_endian(plan.substr(4, 4)) != 0) {
        fail(CSFLOW_ENGINE_ERROR, "%s is a TensorRT plan of another serialisation version than 0: update csflow",
             where.c_str());
    }
    const bool rtx = tag == "vtrt";
    if (rtx && little_endian(plan.substr(16, 8)) != plan.size()) {
        fail(CSFLOW_ENGINE_ERROR, "%s has another size than its header says: it is damaged, copy it again",
             where.c_str());
    }
    return {rtx, byte_at(plan, 24), byte_at(plan, 25), byte_at(plan, 26), byte_at(plan, 27)};
}

Plan load_plan(const Bundle &bundle, const EngineName &engine, const Stage &stage) {
    const std::string name = plan_file(engine, stage.graph);
    const std::string where = bundle.path() + "/" + name;
    if (!exists(where)) {
        fail(CSFLOW_BUNDLE_ERROR, "there is no %s: run 'csflow export --%s' on this machine", where.c_str(),
             engine.precision.c_str());
    }
    const PlanRecord record = parse_plan_record(File(bundle.path(), name + ".json").read(kMaxSettings), where + ".json");
    const File file(bundle.path(), name);
    file.require_size(record.plan_size, kMaxPlan);
    Plan plan{file.read(kMaxPlan), {}, record.compute_capabilities};
    if (sha256_hex(plan.bytes.data(), plan.bytes.size()) != record.plan_sha256) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s is not what was built (its SHA-256 differs): %s", where.c_str(), kRebuild);
    }
    plan.header = parse_plan_header(plan.bytes, where);
    if (plan.header.rtx) {
        fail(CSFLOW_ENGINE_MISMATCH, "%s was built by TensorRT for RTX, expected TensorRT: %s", where.c_str(),
             kRebuild);
    }
    const auto built_from = bundle.manifest().files.find(stage.file);
    if (built_from == bundle.manifest().files.end() || built_from->second.sha256 != record.onnx_sha256) {
        fail(CSFLOW_ENGINE_MISMATCH, "%s was built from another graph than the bundle's: %s", where.c_str(), kRebuild);
    }
    return plan;
}

void require_version(const Plan &plan, std::int32_t library_version) {
    if (plan.header.number() != library_version) {
        fail(CSFLOW_ENGINE_MISMATCH, "the plan was built by TensorRT %s, this machine has %s: %s",
             plan.header.text().c_str(), version_text(library_version).c_str(), kRebuild);
    }
}

void require_gpu(const Plan &plan, const std::string &compute_capability) {
    const auto &runs_on = plan.compute_capabilities;
    if (std::find(runs_on.begin(), runs_on.end(), compute_capability) == runs_on.end()) {
        fail(CSFLOW_ENGINE_MISMATCH, "the plan was built for compute capability %s, this GPU has %s: %s",
             runs_on.empty() ? "unknown" : runs_on.front().c_str(), compute_capability.c_str(), kRebuild);
    }
}

} // namespace csflow
