#include "bundle/files.h"
#include "bundle/sha256.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace csflow {
namespace {

constexpr std::size_t kBlockBytes = 1 << 20;

// strerror_r returns int (POSIX) or char * (GNU), by the C library.
[[maybe_unused]] const char *chosen(int, const char *buffer) noexcept { return buffer; }
[[maybe_unused]] const char *chosen(const char *text, const char *) noexcept { return text; }

[[noreturn]] void refuse(const std::string &path, int number) {
    if (number == ENOENT || number == ENOTDIR) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s is missing: copy the bundle again", path.c_str());
    }
    if (number == ELOOP || number == ENXIO) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s is not a plain file: copy the bundle again", path.c_str());
    }
    fail(CSFLOW_BUNDLE_ERROR, "cannot read %s: %s", path.c_str(), error_text(number).c_str());
}

void refuse_links(const std::string &root, const std::string &name, const std::string &path) {
    for (std::size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
        struct stat about {};
        if (lstat((root + "/" + name.substr(0, slash)).c_str(), &about) != 0) {
            refuse(path, errno);
        }
        if (S_ISLNK(about.st_mode)) {
            fail(CSFLOW_BUNDLE_CORRUPTED, "%s lies behind a symbolic link: copy the bundle again", path.c_str());
        }
    }
}

int opened(const std::string &root, const std::string &name, const std::string &path) {
    refuse_links(root, name, path);
    // O_NONBLOCK: opening a FIFO in place of a file must not wait for a writer.
    const int descriptor = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) {
        refuse(path, errno);
    }
    return descriptor;
}

} // namespace

std::string error_text(int number) {
    char buffer[128] = "unknown error";
    return chosen(strerror_r(number, buffer, sizeof buffer), buffer);
}

File::File(const std::string &root, const std::string &name)
    : path_(root + "/" + name), descriptor_(opened(root, name, path_)) {
    struct stat about {};
    if (fstat(descriptor_, &about) != 0 || !S_ISREG(about.st_mode)) {
        close(descriptor_);
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s is not a plain file: copy the bundle again", path_.c_str());
    }
    size_ = static_cast<std::uint64_t>(about.st_size);
}

File::~File() { close(descriptor_); }

std::string File::read(std::uint64_t most) const {
    if (size_ > most) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s has %llu bytes, at most %llu are read: copy the bundle again", path_.c_str(),
             static_cast<unsigned long long>(size_), static_cast<unsigned long long>(most));
    }
    std::string content(size_, '\0');
    read_some(content.data(), content.size());
    return content;
}

std::string File::sha256() const {
    Sha256 hash;
    std::vector<char> block(kBlockBytes);
    for (std::uint64_t left = size_; left > 0;) {
        const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(left, block.size()));
        read_some(block.data(), bytes);
        hash.add(block.data(), bytes);
        left -= bytes;
    }
    return hash.hex();
}

void File::read_some(char *to, std::size_t bytes) const {
    while (bytes > 0) {
        const ssize_t got = ::read(descriptor_, to, bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            fail(CSFLOW_BUNDLE_ERROR, "cannot read %s: %s", path_.c_str(),
                 got < 0 ? error_text(errno).c_str() : "it became shorter");
        }
        to += got;
        bytes -= static_cast<std::size_t>(got);
    }
}

bool is_folder(const std::string &path) {
    struct stat about {};
    if (stat(path.c_str(), &about) == 0) {
        return S_ISDIR(about.st_mode);
    }
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
        return false;
    }
    fail(CSFLOW_BUNDLE_ERROR, "cannot read %s: %s", path.c_str(), error_text(errno).c_str());
}

std::vector<std::string> names_in(const std::string &folder, const std::string &ending) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto &entry : std::filesystem::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        const bool ends = name.size() >= ending.size() && name.substr(name.size() - ending.size()) == ending;
        if (ends && entry.symlink_status(ignored).type() == std::filesystem::file_type::regular) {
            names.push_back(name);
        }
    }
    return names;
}

bool exists(const std::string &path) {
    struct stat about {};
    return lstat(path.c_str(), &about) == 0;
}

} // namespace csflow
