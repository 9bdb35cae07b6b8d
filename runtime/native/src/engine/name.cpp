#include "engine/name.h"
#include "status.h"

#include <algorithm>
#include <array>

namespace csflow {
namespace {

constexpr std::array<const char *, 4> kPrecisions = {"fp32", "fp16", "bf16", "int8"}; // the widest first

auto place_of(const std::string &precision) { return std::find(kPrecisions.begin(), kPrecisions.end(), precision); }

std::vector<std::string> parts_of(const std::string &precision) {
    std::vector<std::string> parts;
    std::size_t start = 0;
    for (std::size_t plus = precision.find('+'); plus != std::string::npos; plus = precision.find('+', start)) {
        parts.push_back(precision.substr(start, plus - start));
        start = plus + 1;
    }
    parts.push_back(precision.substr(start));
    return parts;
}

} // namespace

EngineName EngineName::parse(const std::string &text) {
    const std::size_t dash = text.rfind('-');
    if (dash == std::string::npos || dash == 0) {
        return {text, ""};
    }
    const std::vector<std::string> parts = parts_of(text.substr(dash + 1));
    const auto known = [](const std::string &part) { return place_of(part) != kPrecisions.end(); };
    return std::all_of(parts.begin(), parts.end(), known) ? EngineName{text.substr(0, dash), text.substr(dash + 1)}
                                                          : EngineName{text, ""};
}

std::string EngineName::narrowest() const {
    const std::vector<std::string> parts = parts_of(precision);
    return *std::max_element(parts.begin(), parts.end(),
                             [](const auto &a, const auto &b) { return place_of(a) < place_of(b); });
}

std::vector<std::string> EngineName::of_graphs(std::size_t count) const {
    std::vector<std::string> parts = parts_of(precision);
    if (parts.size() == 1) {
        parts.resize(count, parts[0]);
    }
    if (parts.size() != count) {
        fail(CSFLOW_CONFIG_ERROR, "%.60s names %zu precisions, the bundle has %zu graphs: name one, or one for each",
             text().c_str(), parts.size(), count);
    }
    return parts;
}

} // namespace csflow
