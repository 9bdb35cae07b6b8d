#include "bundle/bundle.h"
#include "bundle/files.h"
#include "bundle/sha256.h"

#include <algorithm>

namespace csflow {
namespace {

constexpr const char *kManifest = "manifest.json";
constexpr const char *kCalibration = "calibration.json";
constexpr const char *kSelfHash = "manifest_sha256";
constexpr const char *kCopyAgain = "copy the bundle again";
constexpr std::uint64_t kMaxJsonBytes = 8 << 20;
constexpr std::int32_t kMaxSide = 65535;
constexpr std::size_t kMaxIgnored = 4096;

bool plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Relative, at most 200 plain characters, no hidden parts, no "..".
bool allowed_name(const std::string &name) {
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

void parse_preprocessing(const Json &value, Manifest &manifest, const std::string &where) {
    const Object how(value, {"image_size", "roi", "resize", "colour", "ignore"}, CSFLOW_BUNDLE_CORRUPTED, where);
    const std::int64_t size = how.whole("image_size");
    how.require(size >= 32 && size <= 8192 && size % 32 == 0, "image_size");
    how.require(!how.has("resize") || how.text("resize") == "pillow-bilinear", "resize");
    how.require(!how.has("colour") || how.text("colour") == "RGB", "colour");
    manifest.image_size = static_cast<std::int32_t>(size);
    const bool whole = !how.has("roi") || how.at("roi").kind == Json::NOTHING;
    manifest.roi = whole ? Roi{} : parse_box(how.at("roi"), how, "roi");
    manifest.ignore = how.has("ignore") ? parse_ignore(how) : std::vector<Roi>{};
}

void parse_definitions(const Json &value, Manifest &manifest, const std::string &where) {
    const Object names(value, {"score", "anomaly_map"}, CSFLOW_BUNDLE_CORRUPTED, where);
    names.require(!names.has("score") || names.text("score") == "mean-half-z2", "score");
    if (names.has("anomaly_map")) {
        manifest.anomaly_map = names.text("anomaly_map");
    }
    const bool known = manifest.anomaly_map == "scale0-mean-z2" || manifest.anomaly_map == "product-mean-z2";
    names.require(known, "anomaly_map");
}

void parse_files(const Json &value, Manifest &manifest, const Object &in, const std::string &where) {
    for (std::size_t i = 0; i < value.keys.size(); ++i) {
        const std::string &name = value.keys[i];
        in.require(allowed_name(name), "a file's name");
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

void check_version(const Json &body, const std::string &where) {
    const Json *found = body.find("format_version");
    const bool whole = found != nullptr && (found->kind == Json::WHOLE || found->kind == Json::BIG);
    if (!whole || found->real < 1.0) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s: format_version must be a positive whole number", where.c_str());
    }
    if (found->real > 1.0) {
        fail(CSFLOW_BUNDLE_VERSION_ERROR, "%s has bundle format %.0f; this libcsflow reads up to 1: update csflow",
             where.c_str(), found->real);
    }
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

std::string read_json_file(const std::string &root, const char *name) {
    const File file(root, name);
    if (file.size() > kMaxJsonBytes) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s/%s is larger than 8 MiB: %s", root.c_str(), name, kCopyAgain);
    }
    return file.read();
}

Manifest read_manifest(const std::string &path) {
    if (!is_folder(path)) {
        fail(CSFLOW_BUNDLE_ERROR, "no bundle at %s: name one, or set CSFLOW_BUNDLE", path.c_str());
    }
    if (!exists(path + "/" + kManifest)) {
        fail(CSFLOW_BUNDLE_ERROR, "%s is not a csflow bundle: it has no %s", path.c_str(), kManifest);
    }
    return parse_manifest(read_json_file(path, kManifest), path + "/" + kManifest);
}

std::string box_repr(const Roi &box) {
    return "(" + std::to_string(box.x) + ", " + std::to_string(box.y) + ", " + std::to_string(box.width) + ", " +
           std::to_string(box.height) + ")";
}

std::string tuple_repr(const std::vector<Roi> &boxes) {
    std::string text;
    for (const Roi &box : boxes) {
        text += (text.empty() ? "" : ", ") + box_repr(box);
    }
    return "(" + text + (boxes.size() == 1 ? ",)" : ")");
}

// As Python's class represents itself.
std::string preprocessing_repr(const Manifest &how) {
    return "Preprocessing(image_size=" + std::to_string(how.image_size) +
           ", roi=" + (how.roi.width == 0 ? "None" : box_repr(how.roi)) +
           ", resize='pillow-bilinear', colour='RGB'" +
           (how.ignore.empty() ? "" : ", ignore=" + tuple_repr(how.ignore)) + ")";
}

void check_size(const std::string &path, const std::string &name, std::uint64_t size, std::uint64_t expected) {
    if (size != expected) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s/%s has %llu bytes, %llu were written: %s", path.c_str(), name.c_str(),
             static_cast<unsigned long long>(size), static_cast<unsigned long long>(expected), kCopyAgain);
    }
}

} // namespace

Manifest parse_manifest(std::string_view text, const std::string &where) {
    const Json body = parse_json(text, CSFLOW_BUNDLE_CORRUPTED, where, kCopyAgain);
    const Json *format = body.find("format");
    if (format == nullptr || format->kind != Json::TEXT || format->text != "csflow-bundle") {
        fail(CSFLOW_BUNDLE_ERROR, "%s is not the manifest of a csflow bundle", where.c_str());
    }
    check_version(body, where);
    Manifest manifest;
    manifest.sha256 = checked_self_hash(body, where);
    const Object known(body, {"preprocessing", "definitions", "model", "provenance", "files", "format",
                              "format_version", kSelfHash}, CSFLOW_BUNDLE_CORRUPTED, where);
    parse_preprocessing(known.object("preprocessing"), manifest, where);
    parse_definitions(known.object("definitions"), manifest, where);
    known.object("model");
    known.object("provenance");
    parse_files(known.object("files"), manifest, known, where);
    return manifest;
}

Bundle::Bundle(std::string path) : path_(std::move(path)), manifest_(read_manifest(path_)) {
    for (const auto &[name, entry] : manifest_.files) {
        check_size(path_, name, File(path_, name).size(), entry.size);
    }
}

std::string Bundle::read(const std::string &name) const {
    const auto entry = manifest_.files.find(name);
    if (entry == manifest_.files.end()) {
        fail(CSFLOW_BUNDLE_ERROR, "bundle %s has no %s: run 'csflow export --bundle %s'", path_.c_str(), name.c_str(),
             path_.c_str());
    }
    const File file(path_, name);
    check_size(path_, name, file.size(), entry->second.size);
    std::string content = file.read();
    if (sha256_hex(content.data(), content.size()) != entry->second.sha256) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s/%s is not what was written (its SHA-256 differs): %s", path_.c_str(),
             name.c_str(), kCopyAgain);
    }
    return content;
}

bool Bundle::read_calibration(std::string &text) const {
    if (!exists(path_ + "/" + kCalibration)) {
        return false;
    }
    text = read_json_file(path_, kCalibration);
    return true;
}

std::string Bundle::weights_sha256() const {
    std::string lines;
    for (const auto &[name, entry] : manifest_.files) {
        if (name.rfind("weights/", 0) == 0) {
            lines += name + " " + entry.sha256 + "\n";
        }
    }
    lines += preprocessing_repr(manifest_) + "\n";
    lines += "Definitions(score='mean-half-z2', anomaly_map='" + manifest_.anomaly_map + "')";
    return sha256_hex(lines.data(), lines.size());
}

} // namespace csflow
