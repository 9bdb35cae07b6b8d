// What a bundle's model is: one SHA-256 over everything that its scores follow from. The twin of
// csflow.runtime.bundle.identity.
#pragma once

#include "bundle/manifest.h"

namespace csflow {

/// 64 hexadecimal digits for a checked manifest; `body` is what it was read from. Of the files only those below
/// weights/ count, by name and hash.
std::string identity(const Json &body, const Manifest &manifest);

} // namespace csflow
