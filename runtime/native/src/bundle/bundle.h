// The bundle directory: its manifest, its hashed files, its identity. The twin of csflow.runtime.bundle.directory.
#pragma once

#include "bundle/json.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace csflow {

struct Roi {
    std::int32_t x, y, width, height; // pixels of the picture; width 0: the whole picture
};

struct FileEntry {
    std::string sha256;
    std::uint64_t size;
};

struct Manifest {
    std::int32_t image_size = 0;
    Roi roi{};
    std::vector<Roi> ignore; // painted over before anything else
    std::string anomaly_map = "scale0-mean-z2";
    std::map<std::string, FileEntry> files;
    std::string sha256; // of the canonical manifest
};

/// Read and check manifest.json. BUNDLE_ERROR: not csflow's; BUNDLE_VERSION_ERROR: newer; BUNDLE_CORRUPTED: damaged.
Manifest parse_manifest(std::string_view text, const std::string &where);

class Bundle {
public:
    /// Reads the manifest; every file it names must be there, plain, with the right size.
    explicit Bundle(std::string path);

    const std::string &path() const noexcept { return path_; }
    const Manifest &manifest() const noexcept { return manifest_; }
    bool has(const std::string &name) const { return manifest_.files.count(name) > 0; }

    /// The content of a hashed file, checked before anybody sees it.
    std::string read(const std::string &name) const;

    /// calibration.json, which carries no hash. False where there is none.
    bool read_calibration(std::string &text) const;

    /// SHA-256 over the weights' names and hashes, preprocessing and definitions, as Bundle.weights_sha256 in Python.
    std::string weights_sha256() const;

private:
    std::string path_;
    Manifest manifest_;
};

} // namespace csflow
