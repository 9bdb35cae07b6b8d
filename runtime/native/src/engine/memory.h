// Memory that compiling a graph needed and that running it does not. As csflow.runtime.engines.openvino.core.
#pragma once

#include <string>

namespace csflow {

/// Gives what was freed back to the system; the C library keeps it for the process otherwise.
void return_free_memory() noexcept;

/// Lets the pages of OpenVINO's cache files in `folder` leave the memory of this process. A compiled graph has its
/// weights in a form of its own; those in the file, half of all, are never read again, and could be.
void return_mapped_pages(const std::string &folder);

} // namespace csflow
