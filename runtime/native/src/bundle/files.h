// Plain files below a folder: reached without a symbolic link, of a size that was agreed on. The twin of
// csflow.runtime.bundle.files.
#pragma once

#include "status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace csflow {

constexpr std::uint64_t kMaxSettings = 8 << 20; // manifest, thresholds, the record of a plan
constexpr std::uint64_t kMaxPlan = std::uint64_t{1} << 32;

/// The largest that a bundle's file of this name may be.
std::uint64_t most_bytes(const std::string &name);

/// An open file descriptor.
class File {
public:
    /// root/name. BUNDLE_CORRUPTED: missing, linked or not a plain file; BUNDLE_ERROR: it may not be read.
    File(const std::string &root, const std::string &name);
    ~File();
    File(const File &) = delete;
    File &operator=(const File &) = delete;

    /// BUNDLE_CORRUPTED where `size`, which somebody stated, is above `most` or not the file's, or where the file is
    /// sparse: what csflow writes has no holes, and reading them costs as much as what they pretend to be.
    void require_size(std::uint64_t size, std::uint64_t most) const;

    /// Everything. BUNDLE_CORRUPTED where it is larger than `most` bytes, before one is read; BUNDLE_ERROR where
    /// reading fails or the file became shorter.
    std::string read(std::uint64_t most) const;

    /// The SHA-256 of everything, in memory of a fixed size. BUNDLE_ERROR as `read`.
    std::string sha256() const;

    /// A path of this very file, whatever lies at its place later; as long as this object lives.
    std::string readable() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

private:
    void read_some(char *to, std::size_t bytes) const;
    bool has_hole() const noexcept;

    std::string path_;
    int descriptor_;
    std::uint64_t size_ = 0, stored_ = 0; // bytes, and how many of them are on the disk
};

/// Whether `path` is a folder; BUNDLE_ERROR where it cannot be asked.
bool is_folder(const std::string &path);

/// Whether something of that name is there, a broken link included.
bool exists(const std::string &path);

/// Names in a folder that end in `ending`, links and folders left out; none where there is no such folder.
std::vector<std::string> names_in(const std::string &folder, const std::string &ending);

/// The words for an errno.
std::string error_text(int number);

} // namespace csflow
