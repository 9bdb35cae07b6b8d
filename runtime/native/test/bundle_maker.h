// A small bundle for the fake engine, so that these tests need no Python.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <string>

namespace csflow_test {

/// Changes the manifest before its hash is taken.
using Change = std::function<void(nlohmann::json &)>;

/// Make `folder` a bundle of side 64 with thresholds 0.5 and 0.6 and two golden frames; returns `folder`.
std::string make_bundle(const std::string &folder, const Change &change = [](nlohmann::json &) {});

/// Replace calibration.json; `weights_sha256` fits unless it is set.
void write_calibration(const std::string &folder, const nlohmann::json &changes);
void write_calibration(const std::string &folder);

void write_file(const std::string &path, const std::string &content);
std::string read_file(const std::string &path);

/// A new folder below the working directory.
std::string new_folder(const std::string &name);

} // namespace csflow_test
