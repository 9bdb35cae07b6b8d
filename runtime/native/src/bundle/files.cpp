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

constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::uint64_t kSolidBytes = 1 << 20;  // smaller files are not asked for holes
constexpr std::uint64_t kMaxRecords = 64 << 20; // golden frames' scores, the gate's records and page
constexpr std::uint64_t kMaxGraph = (std::uint64_t{1} << 31) - 1; // protobuf's own limit
constexpr std::uint64_t kMaxWeights = std::uint64_t{8} << 30;
constexpr std::uint64_t kMaxGolden = std::uint64_t{3} * 8192 * 8192 + (1 << 20); // not compressed, the largest input

// strerror_r returns int (POSIX) or char * (GNU), by the C library.
[[maybe_unused]] const char *chosen(int, const char *buffer) noexcept { return buffer; }
[[maybe_unused]] const char *chosen(const char *text, const char *) noexcept { return text; }

unsigned long long as_printed(std::uint64_t bytes) noexcept { return bytes; }

bool ends_in(const std::string &name, const std::string &ending) {
    return name.size() >= ending.size() && name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
}

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

std::uint64_t most_bytes(const std::string &name) {
    if (ends_in(name, ".safetensors")) {
        return kMaxWeights;
    }
    if (ends_in(name, ".onnx")) {
        return kMaxGraph;
    }
    return ends_in(name, ".png") ? kMaxGolden : kMaxRecords;
}

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
    stored_ = static_cast<std::uint64_t>(about.st_blocks) * 512;
}

File::~File() { close(descriptor_); }

void File::require_size(std::uint64_t size, std::uint64_t most) const {
    if (size > most) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s claims %llu bytes, at most %llu are taken: copy the bundle again",
             path_.c_str(), as_printed(size), as_printed(most));
    }
    if (size_ != size) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s has %llu bytes, %llu were written: copy the bundle again", path_.c_str(),
             as_printed(size_), as_printed(size));
    }
    if (size > kSolidBytes && stored_ < size / 2 && has_hole()) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s is sparse: of %llu bytes %llu are there; copy the bundle again",
             path_.c_str(), as_printed(size), as_printed(stored_));
    }
}

// A compressing file system takes few blocks too, but has no holes.
bool File::has_hole() const noexcept {
#if defined(SEEK_HOLE)
    const off_t hole = lseek(descriptor_, 0, SEEK_HOLE);
    lseek(descriptor_, 0, SEEK_SET);
    return hole >= 0 && static_cast<std::uint64_t>(hole) < size_;
#else
    return false;
#endif
}

std::string File::read(std::uint64_t most) const {
    if (size_ > most) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s is larger than %llu bytes: copy the bundle again", path_.c_str(),
             as_printed(most));
    }
    std::string content(size_, '\0');
    read_some(content.data(), content.size());
    return content;
}

std::string File::sha256() const {
    Sha256 hash;
    std::vector<char> block(kReadBytes);
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
        if (ends_in(name, ending) && entry.symlink_status(ignored).type() == std::filesystem::file_type::regular) {
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
