// manifest.json: what a bundle is, and the hash of every file in it. The twin of csflow.runtime.bundle.manifest.
#pragma once

#include "bundle/json.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace csflow {

constexpr const char *kManifest = "manifest.json";
constexpr const char *kCalibration = "calibration.json";
constexpr const char *kCopyAgain = "copy the bundle again";
constexpr std::int32_t kMaxSide = 65535; // pixels of a picture

struct Roi {
    std::int32_t x, y, width, height; // pixels of the picture; width 0: the whole picture
};

constexpr std::int32_t kReferenceSide = 64;

/// What a picture is moved onto before the model sees it.
struct Alignment {
    bool turns = false;                  // 'euclidean'; else shifts alone
    std::int32_t floor = 0;              // least correlation, in thousandths
    std::vector<std::uint8_t> reference; // 64 * 64 grey levels; empty: nothing is moved
};

struct FileEntry {
    std::string sha256;
    std::uint64_t size;
};

/// Of `Manifest::looks`.
constexpr std::int32_t kMaxLooks = 8;
/// Of `Manifest::near`.
constexpr std::int32_t kNear = 8, kMaxNear = 256;

struct Manifest {
    std::int32_t format_version = 1;
    std::int32_t image_size = 0;
    Roi roi{};
    std::vector<Roi> ignore; // painted over before anything else
    std::int32_t window_low = 0, window_high = 0; // levels of deeper pictures that become 0 and 255; 0, 0: 8 bits alone
    std::int32_t exposure = 0; // grey level that the region's median becomes; 0: pictures stay as bright as they are
    Alignment align;
    std::int32_t tile_side = 0, tile_overlap = 0; // pixels of the picture; 0, 0: the picture goes through as one
    std::int32_t looks = 0; // of so many tiles what is highest may be looked at again
    std::int32_t near = kNear; // what lies within this part of a tile's side of its middle is not
    std::string method = "cs-flow";
    std::vector<std::string> graphs = {"backbone", "flow"}; // in running order
    std::map<std::string, FileEntry> files;
    Json pictures; // provenance.training.pictures as it stands; NOTHING where there is none
    std::string sha256;         // of the canonical manifest
    std::string weights_sha256; // identity of the trained model, see identity.h
};

/// Read and check manifest.json. BUNDLE_ERROR: not csflow's; BUNDLE_VERSION_ERROR: newer; BUNDLE_CORRUPTED: damaged.
Manifest parse_manifest(std::string_view text, const std::string &where);

} // namespace csflow
