// What the processor can, as the kernel names it.
#pragma once

#include <string>

namespace csflow {

/// The line of /proc/cpuinfo that says it of the first processor (x86 "flags", ARM "Features"), else empty. The twin of
/// csflow.runtime.machine.machine.processor_instructions.
std::string processor_instructions();

/// Whether products of eight bits are summed in 32. x86 without VNNI adds each two of them in 16 bits, which saturate.
bool sums_in_32_bits();

} // namespace csflow
