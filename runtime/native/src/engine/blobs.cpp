#include "engine/blobs.h"
#include "bundle/files.h"
#include "bundle/sha256.h"
#include "engine/processor.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <unistd.h>

namespace csflow {
namespace {

constexpr const char *kBlob = ".blob";
constexpr const char *kSeal = ".sha256";
constexpr std::size_t kNameDigits = 32, kProcessorDigits = 8;
constexpr std::uint64_t kMaxSeal = 1024;

bool is_sound(const std::string &folder, const std::string &blob) {
    std::string seal;
    if (!exists(folder + "/" + blob + kSeal)) {
        return false;
    }
    const csflow_status status = guarded([&] {
        seal = File(folder, blob + kSeal).read(kMaxSeal).substr(0, 64);
        seal = seal == File(folder, blob).sha256() ? seal : "";
    });
    return status == CSFLOW_OK && !seal.empty();
}

// As `sha256sum -c` reads it; whole or absent.
void seal_one(const std::string &folder, const std::string &blob) {
    const std::string line = File(folder, blob).sha256() + "  " + blob + "\n", to = folder + "/" + blob + kSeal;
    std::string temporary = to + ".XXXXXX";
    const int descriptor = mkstemp(temporary.data());
    if (descriptor < 0) {
        return;
    }
    const bool written = ::write(descriptor, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    if (::close(descriptor) != 0 || !written || std::rename(temporary.c_str(), to.c_str()) != 0) {
        ::unlink(temporary.c_str());
    }
}

} // namespace

std::string sound_folder(const std::string &cache, const std::string &sha256, const std::string &hint) {
    if (cache.empty()) {
        return "";
    }
    const std::string able = processor_instructions();
    const std::string processor = sha256_hex(able.data(), able.size()).substr(0, kProcessorDigits);
    std::string folder = cache + "/" + sha256.substr(0, kNameDigits) + "-" + hint + "-" + processor;
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    if (failed) {
        return "";
    }
    for (const std::string &blob : names_in(folder, kBlob)) {
        const std::string path = folder + "/" + blob;
        if (!is_sound(folder, blob)) {
            ::unlink((path + kSeal).c_str());
            if (::unlink(path.c_str()) != 0 && exists(path)) {
                return "";
            }
        }
    }
    return folder;
}

void seal_blobs(const std::string &folder) noexcept {
    guarded([&] {
        for (const std::string &blob : names_in(folder, kBlob)) {
            seal_one(folder, blob);
        }
    });
}

} // namespace csflow
