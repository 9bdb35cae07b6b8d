// OpenVINO's compiled models on the disk: what was damaged there goes before OpenVINO reads it, which would take a page of
// zeros for weights. The twin of csflow.runtime.engines.openvino.blobs.
#pragma once

#include <string>

namespace csflow {

/// The folder in `cache` for a graph of this SHA-256, precision and processor, holding nothing but files whose seal fits.
/// Empty where `cache` is, or where the folder cannot be made or cleared: then a graph is compiled without a cache.
std::string sound_folder(const std::string &cache, const std::string &sha256, const std::string &hint);

/// Seals what OpenVINO has written there; where that fails it is compiled again at the next open.
void seal_blobs(const std::string &folder) noexcept;

} // namespace csflow
