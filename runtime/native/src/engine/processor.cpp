#include "engine/processor.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

namespace csflow {
namespace {

// The value of `line` where its key is `name`, else empty.
std::string value_of(const std::string &line, const std::string &name) {
    constexpr const char *blanks = " \t";
    const std::size_t colon = line.find(':'), from = line.find_first_not_of(blanks, colon + 1);
    if (colon == std::string::npos || from == std::string::npos ||
        line.substr(0, line.find_last_not_of(blanks, colon - 1) + 1) != name) {
        return "";
    }
    return line.substr(from, line.find_last_not_of(blanks) + 1 - from);
}

} // namespace

std::string processor_instructions() {
    std::ifstream file("/proc/cpuinfo");
    std::string found;
    for (std::string line; found.empty() && std::getline(file, line);) {
        found = value_of(line, "flags") + value_of(line, "Features");
    }
    return found;
}

bool sums_in_32_bits() {
    std::istringstream words(processor_instructions());
    return std::any_of(std::istream_iterator<std::string>(words), std::istream_iterator<std::string>(),
                       [](const std::string &word) {
                           return word == "avx512_vnni" || word == "avx_vnni" || word == "asimd";
                       });
}

} // namespace csflow
