#include "bundle/bundle.h"
#include "bundle/files.h"
#include "bundle/sha256.h"

namespace csflow {
namespace {

std::string read_settings(const std::string &root, const char *name) {
    return File(root, name).read(kMaxSettings);
}

Manifest read_manifest(const std::string &path) {
    if (!is_folder(path)) {
        fail(CSFLOW_BUNDLE_ERROR, "no bundle at %s: name one, or set CSFLOW_BUNDLE", path.c_str());
    }
    if (!exists(path + "/" + kManifest)) {
        fail(CSFLOW_BUNDLE_ERROR, "%s is not a csflow bundle: it has no %s", path.c_str(), kManifest);
    }
    return parse_manifest(read_settings(path, kManifest), path + "/" + kManifest);
}

} // namespace

Bundle::Bundle(std::string path) : path_(std::move(path)), manifest_(read_manifest(path_)) {
    for (const auto &[name, entry] : manifest_.files) {
        File(path_, name).require_size(entry.size, most_bytes(name));
    }
}

std::string Bundle::read(const std::string &name) const {
    const FileEntry &entry = entry_of(name);
    const File file(path_, name);
    file.require_size(entry.size, most_bytes(name));
    std::string content = file.read(most_bytes(name));
    require_hash(name, entry, sha256_hex(content.data(), content.size()));
    return content;
}

std::unique_ptr<File> Bundle::checked(const std::string &name) const {
    const FileEntry &entry = entry_of(name);
    auto file = std::make_unique<File>(path_, name);
    file->require_size(entry.size, most_bytes(name));
    require_hash(name, entry, file->sha256());
    return file;
}

const FileEntry &Bundle::entry_of(const std::string &name) const {
    const auto entry = manifest_.files.find(name);
    if (entry == manifest_.files.end()) {
        fail(CSFLOW_BUNDLE_ERROR, "bundle %s has no %s: run 'csflow export --bundle %s'", path_.c_str(), name.c_str(),
             path_.c_str());
    }
    return entry->second;
}

void Bundle::require_hash(const std::string &name, const FileEntry &entry, const std::string &found) const {
    if (found != entry.sha256) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s/%s is not what was written (its SHA-256 differs): %s", path_.c_str(),
             name.c_str(), kCopyAgain);
    }
}

bool Bundle::read_calibration(std::string &text) const {
    if (!exists(path_ + "/" + kCalibration)) {
        return false;
    }
    text = read_settings(path_, kCalibration);
    return true;
}

} // namespace csflow
