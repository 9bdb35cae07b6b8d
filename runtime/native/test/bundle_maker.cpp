#include "bundle_maker.h"
#include "bundle/bundle.h"
#include "bundle/sha256.h"
#include "check.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace csflow_test {
namespace {

using Json = nlohmann::json;

constexpr int kSide = 64;

std::string big_endian(std::uint32_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) {
        bytes += static_cast<char>(value >> shift & 0xFF);
    }
    return bytes;
}

// Checksums are zero: stb_image does not look at them.
std::string chunk(const std::string &type, const std::string &data) {
    return big_endian(static_cast<std::uint32_t>(data.size())) + type + data + std::string(4, '\0');
}

// A grey picture as stored (not compressed) rows.
std::string png(int level) {
    std::string rows;
    for (int y = 0; y < kSide; ++y) {
        rows += '\0' + std::string(kSide * 3, static_cast<char>(level));
    }
    std::string zlib = "\x78\x01\x01";
    zlib += static_cast<char>(rows.size() & 0xFF);
    zlib += static_cast<char>(rows.size() >> 8);
    zlib += static_cast<char>(~rows.size() & 0xFF);
    zlib += static_cast<char>(~rows.size() >> 8 & 0xFF);
    const std::string header = big_endian(kSide) + big_endian(kSide) + std::string("\x08\x02\0\0\0", 5);
    return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("IDAT", zlib + rows + std::string(4, '\0')) +
           chunk("IEND", "");
}

Json golden_frame(const std::string &file, int level) {
    const double mean = level / 255.0;
    return {{"file", file}, {"label", "plain"}, {"score", mean}, {"anomaly_map", {{mean, mean}, {mean, mean}}}};
}

void add(Json &manifest, const std::string &folder, const std::string &name, const std::string &content) {
    write_file(folder + "/" + name, content);
    manifest["files"][name] = {{"sha256", csflow::sha256_hex(content.data(), content.size())},
                               {"size", content.size()}};
}

} // namespace

void write_file(const std::string &path, const std::string &content) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream file(path, std::ios::binary);
    file << content;
    CHECK(file.good());
}

std::string read_file(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string new_folder(const std::string &name) {
    const std::string folder = std::filesystem::current_path().string() + "/" + name;
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    return folder;
}

std::string make_bundle(const std::string &folder, const Change &change) {
    Json manifest = {{"format", "csflow-bundle"}, {"format_version", 1},
                     {"preprocessing", {{"image_size", kSide}, {"roi", nullptr}}}, {"definitions", Json::object()},
                     {"model", {{"learning_rate", 1e-5}, {"name", "B\xC3\xB6rse"}}}, {"provenance", Json::object()},
                     {"files", Json::object()}};
    add(manifest, folder, "weights/flow.safetensors", "x");
    add(manifest, folder, "golden/0.png", png(64));
    add(manifest, folder, "golden/1.png", png(192));
    add(manifest, folder, "golden/golden.json",
        Json{{"frames", {golden_frame("0.png", 64), golden_frame("1.png", 192)}}}.dump());
    change(manifest);
    const std::string canonical =
        csflow::canonical_json(csflow::parse_json(manifest.dump(), CSFLOW_DATA_ERROR, "manifest", "correct it"));
    manifest["manifest_sha256"] = csflow::sha256_hex(canonical.data(), canonical.size());
    write_file(folder + "/manifest.json", manifest.dump());
    return folder;
}

void write_calibration(const std::string &folder, const Json &changes) {
    Json content = {{"reject_threshold", 0.6}, {"warn_threshold", 0.5}, {"false_reject_rate", 0.05},
                    {"confidence", 0.95}, {"bound", 0.05}, {"warn_rate", 0.1}, {"scores", {0.1, 0.2, 0.3, 0.4}},
                    {"backend", "fake"}, {"created_utc", "2026-01-01T00:00:00Z"}};
    content["weights_sha256"] = csflow::Bundle(folder).manifest().weights_sha256;
    content.update(changes);
    write_file(folder + "/calibration.json", content.dump());
}

void write_calibration(const std::string &folder) { write_calibration(folder, Json::object()); }

} // namespace csflow_test
