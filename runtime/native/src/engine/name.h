// What an engine is called: its backend and the precision that it computes in. Twin of csflow.runtime.engines.name.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace csflow {

struct EngineName {
    std::string backend;
    std::string precision; // or one for each graph, joined by '+': fp32+bf16; empty where the backend has none

    /// The name behind "openvino-bf16", "tensorrt-fp16", "fake": text without a precision at its end names a backend.
    static EngineName parse(const std::string &text);

    std::string text() const { return precision.empty() ? backend : backend + "-" + precision; }

    /// The precision of the graph with the most rounding; empty where there is none.
    std::string narrowest() const;

    /// The precision of each of `count` graphs. CONFIG_ERROR where the name has another number of precisions.
    std::vector<std::string> of_graphs(std::size_t count) const;
};

} // namespace csflow
