#include "bundle/sizes.h"

namespace csflow {
namespace {

constexpr const char *kSeen = "provenance/calibration_pictures.json";
constexpr double kSameAspect = 0.02, kSimilarAspect = 0.5; // relative differences, of one size and of several
constexpr std::int64_t kFactor = 2;                        // of less than half the size details are missing

void parse_sides(const Object &in, const char *key, std::int64_t (&sides)[2]) {
    const std::vector<Json> &pair = in.array(key).items;
    in.require(pair.size() == 2 && pair[0].kind == Json::WHOLE && pair[1].kind == Json::WHOLE, key);
    sides[0] = pair[0].whole;
    sides[1] = pair[1].whole;
    in.require(sides[0] > 0 && sides[0] <= sides[1], key);
}

} // namespace

SizeRule::SizeRule(const Bundle &bundle) {
    const Manifest &manifest = bundle.manifest();
    // The highest of more tiles is higher: thresholds are of so many.
    exact_ = manifest.roi.width != 0 || !manifest.ignore.empty() || manifest.tile_side != 0;
    if (manifest.pictures.kind == Json::OBJECT) {
        parse(manifest.pictures, bundle.path() + ": provenance.training.pictures");
    } else if (bundle.has(kSeen)) {
        const std::string where = bundle.path() + "/" + kSeen;
        const Json seen = parse_json(bundle.read(kSeen), CSFLOW_BUNDLE_CORRUPTED, where, "run 'csflow calibrate' again");
        const Object known(seen, {"sizes", "dark_share", "white_share", "sharpness"}, CSFLOW_BUNDLE_CORRUPTED, where);
        parse(known.object("sizes"), where);
        // A few pictures that differ by nature say nothing about how far others may.
        known_ = !varied_;
    }
}

void SizeRule::parse(const Json &value, const std::string &where) {
    const Object in(value, {"width_px", "height_px", "aspect"}, CSFLOW_BUNDLE_CORRUPTED, where);
    parse_sides(in, "width_px", width_);
    parse_sides(in, "height_px", height_);
    const std::vector<Json> &pair = in.array("aspect").items;
    in.require(pair.size() == 2 && pair[0].is_number() && pair[1].is_number(), "aspect");
    aspect_[0] = pair[0].real;
    aspect_[1] = pair[1].real;
    in.require(aspect_[0] > 0.0 && aspect_[0] <= aspect_[1], "aspect");
    varied_ = width_[0] < width_[1] || height_[0] < height_[1];
    known_ = true;
}

const char *SizeRule::misfit(std::int64_t width, std::int64_t height) const noexcept {
    const double tolerance = varied_ ? kSimilarAspect : kSameAspect;
    const double aspect = static_cast<double>(width) / static_cast<double>(height);
    if (!(aspect_[0] / (1 + tolerance) <= aspect && aspect <= aspect_[1] * (1 + tolerance))) {
        return "have another aspect than";
    }
    const std::int64_t larger = varied_ || !exact_ ? kFactor : 1;
    if (width * larger < width_[0] || height * larger < height_[0]) {
        return larger == 1 ? "are less of" : "are less than half of";
    }
    if (exact_ && (width > width_[1] * larger || height > height_[1] * larger)) {
        return "are more than";
    }
    return nullptr;
}

void SizeRule::require(std::int32_t width, std::int32_t height) const {
    const char *why = known_ ? misfit(width, height) : nullptr;
    if (why != nullptr) {
        fail(CSFLOW_SOURCE_ERROR, "%dx%d pixels %s %lld to %lld x %lld to %lld, which the model was made with: set the "
                                  "camera to that format, or open with options.any_size", width, height, why,
             static_cast<long long>(width_[0]), static_cast<long long>(width_[1]), static_cast<long long>(height_[0]),
             static_cast<long long>(height_[1]));
    }
}

} // namespace csflow
