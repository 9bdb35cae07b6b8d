// Libraries that are loaded at run time: nothing of Intel or NVIDIA is linked.
#pragma once

#include "status.h"

#include <string>
#include <vector>

namespace csflow {

class Library {
public:
    /// The first of `names` that can be loaded. BACKEND_UNAVAILABLE with what the last one said and `remedy`.
    /// It stays loaded: such libraries leave threads and exit handlers behind.
    Library(const std::vector<std::string> &names, const char *what, const char *remedy);

    /// The function `name`. BACKEND_UNAVAILABLE where the library lacks it.
    template <typename Function> Function function(const char *name) const {
        return reinterpret_cast<Function>(symbol(name));
    }

private:
    void *symbol(const char *name) const;

    void *handle_ = nullptr;
    const char *what_ = nullptr;
};

/// OpenVINO's C library: `path`, else $CSFLOW_OPENVINO, else by its names, else in the Python environment
/// around us, else in the one that is active, else where its headers lay when this library was built.
Library openvino_library(const std::string &path);

/// The folder of this library with a final slash; empty where it is not known.
std::string own_folder();

/// The last line of `text` that is not empty.
std::string last_line(const std::string &text);

} // namespace csflow
