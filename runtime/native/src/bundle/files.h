// Plain files below a folder, reached without a symbolic link.
#pragma once

#include "status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace csflow {

/// An open file descriptor.
class File {
public:
    /// root/name. BUNDLE_CORRUPTED: missing, linked or not a plain file; BUNDLE_ERROR: it may not be read.
    File(const std::string &root, const std::string &name);
    ~File();
    File(const File &) = delete;
    File &operator=(const File &) = delete;

    std::uint64_t size() const noexcept { return size_; }

    /// Everything. BUNDLE_ERROR where reading fails or the file became shorter.
    std::string read() const;

private:
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
