// The bundle directory: its manifest and its hashed files. The twin of csflow.runtime.bundle.directory.
#pragma once

#include "bundle/files.h"
#include "bundle/manifest.h"

#include <memory>

namespace csflow {

class Bundle {
public:
    /// Reads the manifest; every file it names must be there, plain, of the right size and no larger than `most_bytes`.
    explicit Bundle(std::string path);

    const std::string &path() const noexcept { return path_; }
    const Manifest &manifest() const noexcept { return manifest_; }
    bool has(const std::string &name) const { return manifest_.files.count(name) > 0; }

    /// The content of a hashed file, checked before anybody sees it.
    std::string read(const std::string &name) const;

    /// A hashed file whose content was checked in memory of a fixed size, for a library that reads files.
    std::unique_ptr<File> checked(const std::string &name) const;

    /// calibration.json, which carries no hash. False where there is none.
    bool read_calibration(std::string &text) const;

private:
    const FileEntry &entry_of(const std::string &name) const;
    void require_hash(const std::string &name, const FileEntry &entry, const std::string &found) const;

    std::string path_;
    Manifest manifest_;
};

} // namespace csflow
