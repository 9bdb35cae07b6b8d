#include "engine/library.h"

#include <cstdlib>
#include <dlfcn.h>
#include <glob.h>

namespace csflow {
namespace {

std::vector<std::string> matches(const std::string &pattern) {
    glob_t found{};
    std::vector<std::string> paths;
    if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
        paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    }
    globfree(&found);
    return paths;
}

void append(std::vector<std::string> &names, const std::vector<std::string> &more) {
    names.insert(names.end(), more.begin(), more.end());
}

} // namespace

Library::Library(const std::vector<std::string> &names, const char *what, const char *remedy) : what_(what) {
    std::string said = "no file of that name";
    for (const std::string &name : names) {
        handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (handle_ != nullptr) {
            return;
        }
        if (const char *error = dlerror()) {
            said = error;
        }
    }
    fail(CSFLOW_BACKEND_UNAVAILABLE, "%s cannot be loaded (%.200s): %s", what, said.c_str(), remedy);
}

void *Library::symbol(const char *name) const {
    void *found = dlsym(handle_, name);
    if (found == nullptr) {
        fail(CSFLOW_BACKEND_UNAVAILABLE, "%s lacks the function %s: install a version that csflow supports", what_,
             name);
    }
    return found;
}

Library openvino_library(const std::string &path) {
    const char *named = std::getenv("CSFLOW_OPENVINO");
    std::vector<std::string> names;
    if (!path.empty() || (named != nullptr && named[0] != '\0')) {
        names = {path.empty() ? named : path};
    } else {
#if defined(CSFLOW_OPENVINO_SONAME)
        names = {CSFLOW_OPENVINO_SONAME, "libopenvino_c.so"};
#else
        names = {"libopenvino_c.so"};
#endif
        // Inside a wheel we are site-packages/csflow/runtime/libcsflow.so.
        const std::string wheel = "openvino/libs/libopenvino_c.so*";
        append(names, matches(own_folder() + "../../" + wheel));
        for (const char *variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
            if (const char *prefix = std::getenv(variable)) {
                append(names, matches(std::string(prefix) + "/lib/python3*/site-packages/" + wheel));
            }
        }
#if defined(CSFLOW_OPENVINO_BUILT)
        names.push_back(CSFLOW_OPENVINO_BUILT);
#endif
    }
    return {names, "OpenVINO", "pip install openvino, or name libopenvino_c.so in CSFLOW_OPENVINO"};
}

std::string own_folder() {
    Dl_info about{};
    if (dladdr(reinterpret_cast<const void *>(&own_folder), &about) == 0 || about.dli_fname == nullptr) {
        return {};
    }
    const std::string file = about.dli_fname;
    return file.substr(0, file.find_last_of('/') + 1);
}

std::string last_line(const std::string &text) {
    const std::size_t end = text.find_last_not_of(" \t\r\n");
    if (end == std::string::npos) {
        return "it gave no reason";
    }
    const std::size_t start = text.find_last_of('\n', end) + 1; // npos + 1 is 0
    return text.substr(start, end - start + 1);
}

} // namespace csflow
