#include "bundle/manifest.h"
#include "bundle/identity.h"
#include "bundle/sha256.h"

#include <algorithm>

namespace csflow {
namespace {

constexpr const char *kSelfHash = "manifest_sha256";
constexpr std::int32_t kMaxVersion = 2;
constexpr std::size_t kMaxIgnored = 4096;
constexpr std::int64_t kMaxLevel = 65535;
constexpr std::int64_t kMaxExposure = 254;
constexpr std::size_t kMaxGraphs = 8;
constexpr std::size_t kMaxMethod = 31; // csflow_description has room for it
constexpr std::size_t kMaxGraphName = 32;
constexpr std::size_t kMaxDefinition = 200;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool plain(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_'; }

// Relative, at most 200 plain characters, no hidden parts, no "..".
bool allowed_file(const std::string &name) {
    if (name.empty() || name.size() > 200 || name == kManifest || name == kCalibration) {
        return false;
    }
    bool first = true;
    for (const char c : name) {
        const bool fits = plain(c) || (!first && (c == '.' || c == '+' || c == '-' || c == '/'));
        if (!fits) {
            return false;
        }
        first = c == '/';
    }
    return !first;
}

// A letter, then letters, digits and `joint`.
bool allowed_name(const std::string &name, char joint, std::size_t most) {
    const auto fits = [joint](char c) { return is_lower(c) || is_digit(c) || c == joint; };
    return !name.empty() && name.size() <= most && is_lower(name[0]) && std::all_of(name.begin(), name.end(), fits);
}

bool is_hash(const std::string &text) {
    return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Roi parse_box(const Json &value, const Object &in, const char *name) {
    in.require(value.kind == Json::ARRAY && value.items.size() == 4, name);
    std::int32_t sides[4];
    for (std::size_t i = 0; i < 4; ++i) {
        const Json &side = value.items[i];
        in.require(side.kind == Json::WHOLE && side.whole >= (i < 2 ? 0 : 1) && side.whole <= kMaxSide, name);
        sides[i] = static_cast<std::int32_t>(side.whole);
    }
    return {sides[0], sides[1], sides[2], sides[3]};
}

std::vector<Roi> parse_ignore(const Object &how) {
    const std::vector<Json> &boxes = how.array("ignore").items;
    how.require(boxes.size() <= kMaxIgnored, "ignore (at most 4096 rectangles)");
    std::vector<Roi> ignore;
    ignore.reserve(boxes.size());
    for (const Json &box : boxes) {
        ignore.push_back(parse_box(box, how, "ignore"));
    }
    return ignore;
}

void parse_window(const Object &how, Manifest &manifest) {
    const std::vector<Json> &levels = how.array("window").items;
    const auto whole = [](const Json &level) { return level.kind == Json::WHOLE; };
    how.require(levels.size() == 2 && std::all_of(levels.begin(), levels.end(), whole), "window (low, high)");
    const std::int64_t low = levels[0].whole;
    const std::int64_t high = levels[1].whole;
    how.require(low >= 0 && low < high && high <= kMaxLevel, "window (0 <= low < high <= 65535)");
    how.require(manifest.format_version > 1, "window (a key of format 2)");
    manifest.window_low = static_cast<std::int32_t>(low);
    manifest.window_high = static_cast<std::int32_t>(high);
}

void parse_exposure(const Object &how, Manifest &manifest) {
    const std::int64_t level = how.whole("exposure");
    how.require(level >= 1 && level <= kMaxExposure, "exposure (1 to 254)");
    const bool possible = manifest.ignore.empty() && !how.has("tiles");
    how.require(manifest.format_version > 1 && possible, "exposure (a key of format 2, without ignore and tiles)");
    manifest.exposure = static_cast<std::int32_t>(level);
}

std::uint8_t from_digits(char high, char low) {
    const auto digit = [](char c) { return is_digit(c) ? c - '0' : c - 'a' + 10; };
    return static_cast<std::uint8_t>(digit(high) * 16 + digit(low));
}

void parse_align(const Object &how, Manifest &manifest, const std::string &where) {
    const Object align(how.object("align"), {"model", "reference", "floor"}, CSFLOW_BUNDLE_CORRUPTED, where);
    const std::string &model = align.text("model"), &digits = align.text("reference");
    align.require(model == "translation" || model == "euclidean", "align.model");
    const bool hexadecimal = digits.find_first_not_of("0123456789abcdef") == std::string::npos;
    align.require(digits.size() == 2 * kReferenceSide * kReferenceSide && hexadecimal, "align.reference");
    const std::int64_t floor = align.whole("floor");
    align.require(floor >= 1 && floor <= 999, "align.floor");
    const bool possible = manifest.image_size >= kReferenceSide && manifest.ignore.empty();
    how.require(manifest.format_version > 1 && possible, "align");
    manifest.align.turns = model == "euclidean";
    manifest.align.floor = static_cast<std::int32_t>(floor);
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        manifest.align.reference.push_back(from_digits(digits[i], digits[i + 1]));
    }
}

void parse_tiles(const Object &how, Manifest &manifest) {
    const std::vector<Json> &found = how.array("tiles").items;
    const auto whole = [](const Json &level) { return level.kind == Json::WHOLE; };
    how.require(found.size() == 2 && std::all_of(found.begin(), found.end(), whole), "tiles (side, overlap)");
    const std::int64_t side = found[0].whole;
    const std::int64_t overlap = found[1].whole;
    const bool possible = side >= 1 && side <= kMaxSide && overlap >= 0 && 2 * overlap <= side;
    how.require(possible, "tiles (1 <= side <= 65535, 0 <= overlap <= side / 2)");
    how.require(manifest.format_version > 1 && !how.has("align"), "tiles (a key of format 2, without align)");
    manifest.tile_side = static_cast<std::int32_t>(side);
    manifest.tile_overlap = static_cast<std::int32_t>(overlap);
}

void parse_looks(const Object &how, Manifest &manifest) {
    const std::int64_t looks = how.whole("looks");
    how.require(looks >= 1 && looks <= kMaxLooks && manifest.tile_side > 0, "looks (1 to 8, of tiles)");
    manifest.looks = static_cast<std::int32_t>(looks);
    if (how.has("near")) {
        const std::int64_t near = how.whole("near");
        how.require(near >= 1 && near <= kMaxNear && near != kNear, "near (1 to 256, a default is left out)");
        manifest.near = static_cast<std::int32_t>(near);
    }
}

void parse_preprocessing(const Json &value, Manifest &manifest, const std::string &where) {
    const Object how(value, {"image_size", "roi", "resize", "colour", "ignore", "window", "exposure", "align", "tiles",
                             "looks", "near"},
                     CSFLOW_BUNDLE_CORRUPTED, where);
    const std::int64_t size = how.whole("image_size");
    how.require(size >= 32 && size <= 8192 && size % 32 == 0, "image_size");
    how.require(!how.has("resize") || how.text("resize") == "pillow-bilinear", "resize");
    how.require(!how.has("colour") || how.text("colour") == "RGB", "colour");
    manifest.image_size = static_cast<std::int32_t>(size);
    const bool whole = !how.has("roi") || how.at("roi").kind == Json::NOTHING;
    manifest.roi = whole ? Roi{} : parse_box(how.at("roi"), how, "roi");
    manifest.ignore = how.has("ignore") ? parse_ignore(how) : std::vector<Roi>{};
    if (how.has("window")) {
        parse_window(how, manifest);
    }
    if (how.has("exposure")) {
        parse_exposure(how, manifest);
    }
    if (how.has("align")) {
        parse_align(how, manifest, where);
    }
    if (how.has("tiles")) {
        parse_tiles(how, manifest);
    }
    if (how.has("looks")) {
        parse_looks(how, manifest);
    }
    how.require(how.has("looks") || !how.has("near"), "near (of looks)");
    // In format 2 a default is left out, so that the identity does not depend on who wrote the file.
    const bool spare = !how.has("resize") && !how.has("colour") && how.has("roi") != whole &&
                       how.has("ignore") != manifest.ignore.empty();
    how.require(manifest.format_version == 1 || spare, "preprocessing (a default is spelt out)");
}

void parse_definition(const Object &in, const char *key, const char *otherwise, std::int32_t format_version) {
    if (!in.has(key)) {
        return;
    }
    const std::string &text = in.text(key);
    const bool printable = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
    in.require(!text.empty() && text.size() <= kMaxDefinition && printable, key);
    in.require(format_version == 1 || text != otherwise, "definitions (a default is spelt out)");
}

void parse_definitions(const Json &value, const Manifest &manifest, const std::string &where) {
    const Object names(value, {"score", "anomaly_map"}, CSFLOW_BUNDLE_CORRUPTED, where);
    parse_definition(names, "score", "mean-half-z2", manifest.format_version);
    parse_definition(names, "anomaly_map", "scale0-mean-z2", manifest.format_version);
}

void parse_method(const Object &in, Manifest &manifest) {
    manifest.method = in.text("method");
    in.require(allowed_name(manifest.method, '-', kMaxMethod), "method");
    manifest.graphs.clear();
    for (const Json &graph : in.array("graphs").items) {
        const std::vector<std::string> &known = manifest.graphs;
        const bool fresh = std::find(known.begin(), known.end(), graph.text) == known.end();
        in.require(graph.kind == Json::TEXT && allowed_name(graph.text, '_', kMaxGraphName) && fresh, "graphs");
        manifest.graphs.push_back(graph.text);
    }
    in.require(!manifest.graphs.empty() && manifest.graphs.size() <= kMaxGraphs, "graphs (1 to 8 of them)");
}

void parse_files(const Json &value, Manifest &manifest, const Object &in, const std::string &where) {
    for (std::size_t i = 0; i < value.keys.size(); ++i) {
        const std::string &name = value.keys[i];
        in.require(allowed_file(name), "a file's name");
        const Object entry(value.items[i], {"sha256", "size"}, CSFLOW_BUNDLE_CORRUPTED, where + ": " + name);
        const std::int64_t size = entry.whole("size");
        entry.require(is_hash(entry.text("sha256")), "sha256");
        entry.require(size >= 0, "size");
        manifest.files[name] = {entry.text("sha256"), static_cast<std::uint64_t>(size)};
    }
    for (const auto &[name, entry] : manifest.files) {
        for (std::size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
            in.require(manifest.files.count(name.substr(0, slash)) == 0, "a file that is also a folder");
        }
    }
}

// As Python: a training that does not know the sizes of its pictures is an older one.
Json training_pictures(const Json &provenance) {
    const Json *training = provenance.find("training");
    const bool known = training != nullptr && training->kind == Json::OBJECT;
    const Json *pictures = known ? training->find("pictures") : nullptr;
    return pictures != nullptr ? *pictures : Json{};
}

std::int32_t checked_version(const Json &body, const std::string &where) {
    const Json *found = body.find("format_version");
    const bool whole = found != nullptr && (found->kind == Json::WHOLE || found->kind == Json::BIG);
    if (!whole || found->real < 1.0) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s: format_version must be a positive whole number", where.c_str());
    }
    if (found->real > kMaxVersion) {
        fail(CSFLOW_BUNDLE_VERSION_ERROR, "%s has bundle format %.0f; this libcsflow reads up to %d: update csflow",
             where.c_str(), found->real, kMaxVersion);
    }
    return static_cast<std::int32_t>(found->whole);
}

std::string checked_self_hash(const Json &body, const std::string &where) {
    const std::string canonical = canonical_json(body, kSelfHash);
    std::string hash = sha256_hex(canonical.data(), canonical.size());
    const Json *claimed = body.find(kSelfHash);
    if (claimed == nullptr || claimed->kind != Json::TEXT || claimed->text != hash) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s was edited or damaged: its own hash does not fit; %s", where.c_str(),
             kCopyAgain);
    }
    return hash;
}

std::vector<std::string_view> keys_of(std::int32_t format_version) {
    std::vector<std::string_view> keys = {"preprocessing", "definitions", "model", "provenance", "files", "format",
                                          "format_version", kSelfHash};
    if (format_version > 1) {
        keys.insert(keys.end(), {"method", "graphs"});
    }
    return keys;
}

} // namespace

Manifest parse_manifest(std::string_view text, const std::string &where) {
    const Json body = parse_json(text, CSFLOW_BUNDLE_CORRUPTED, where, kCopyAgain);
    const Json *format = body.find("format");
    if (format == nullptr || format->kind != Json::TEXT || format->text != "csflow-bundle") {
        fail(CSFLOW_BUNDLE_ERROR, "%s is not the manifest of a csflow bundle", where.c_str());
    }
    Manifest manifest;
    manifest.format_version = checked_version(body, where);
    manifest.sha256 = checked_self_hash(body, where);
    const Object known(body, keys_of(manifest.format_version), CSFLOW_BUNDLE_CORRUPTED, where);
    parse_preprocessing(known.object("preprocessing"), manifest, where);
    parse_definitions(known.object("definitions"), manifest, where);
    known.object("model");
    manifest.pictures = training_pictures(known.object("provenance"));
    if (manifest.format_version > 1) {
        parse_method(known, manifest);
    }
    parse_files(known.object("files"), manifest, known, where);
    manifest.weights_sha256 = identity(body, manifest);
    return manifest;
}

} // namespace csflow
