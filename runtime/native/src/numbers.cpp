#include "numbers.h"

#include <cstdio>

namespace csflow {

std::string percent(double share) {
    const PlainNumbers plain;
    char text[48];
    std::snprintf(text, sizeof text, "%.2f%%", share * 100.0);
    return text;
}

} // namespace csflow
