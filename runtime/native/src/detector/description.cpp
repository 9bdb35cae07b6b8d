#include "detector/description.h"

#include <algorithm>

namespace csflow {
namespace {

std::string recipe_of(const std::string &path) {
    const std::string trimmed = path.substr(0, path.find_last_not_of('/') + 1);
    std::string name = trimmed.substr(trimmed.find_last_of('/') + 1);
    const std::size_t dot = name.rfind(".csflow");
    return dot != std::string::npos && dot > 0 && dot + 7 == name.size() ? name.substr(0, dot) : name;
}

} // namespace

csflow_description described(const Bundle &bundle, const Calibration &calibration, const Engine &engine) {
    csflow_description about{};
    const Manifest &manifest = bundle.manifest();
    const std::int32_t roi[4] = {manifest.roi.x, manifest.roi.y, manifest.roi.width, manifest.roi.height};
    about.image_size = manifest.image_size;
    std::copy(roi, roi + 4, about.roi);
    about.map_width = engine.map().width;
    about.map_height = engine.map().height;
    about.warn_threshold = calibration.warn_threshold;
    about.reject_threshold = calibration.reject_threshold;
    copy_text(recipe_of(bundle.path()).c_str(), about.recipe, sizeof about.recipe);
    copy_text(engine.name(), about.engine, sizeof about.engine);
    copy_text(manifest.method.c_str(), about.method, sizeof about.method);
    copy_text(manifest.sha256.c_str(), about.bundle_sha256, sizeof about.bundle_sha256);
    copy_text(calibration.weights_sha256.c_str(), about.weights_sha256, sizeof about.weights_sha256);
    return about;
}

} // namespace csflow
