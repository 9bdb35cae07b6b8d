// Plain files below a folder, reached without a symbolic link.
#pragma once

#include "status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace csflow {

// The largest files that are read: manifest and thresholds; golden frames' scores and the gate's records; graphs, as
// protobuf limits them; plans.
constexpr std::uint64_t kMaxSettings = 8 << 20;
constexpr std::uint64_t kMaxRecords = 64 << 20;
constexpr std::uint64_t kMaxGraph = (std::uint64_t{1} << 31) - 1;
constexpr std::uint64_t kMaxPlan = std::uint64_t{1} << 32;

/// An open file descriptor.
class File {
public:
    /// root/name. BUNDLE_CORRUPTED: missing, linked or not a plain file; BUNDLE_ERROR: it may not be read.
    File(const std::string &root, const std::string &name);
    ~File();
    File(const File &) = delete;
    File &operator=(const File &) = delete;

    std::uint64_t size() const noexcept { return size_; }

    /// Everything. BUNDLE_CORRUPTED where it is larger than `most` bytes, before one is read; BUNDLE_ERROR where
    /// reading fails or the file became shorter.
    std::string read(std::uint64_t most) const;

    /// The SHA-256 of everything, in memory of a fixed size. BUNDLE_ERROR as `read`.
    std::string sha256() const;

private:
    void read_some(char *to, std::size_t bytes) const;

    std::string path_;
    int descriptor_;
    std::uint64_t size_ = 0;
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
