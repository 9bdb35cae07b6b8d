// Numbers are read and written in one spelling, whatever locale the host has set.
#pragma once

#include <locale.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif
#include <limits>
#include <string>

namespace csflow {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// The C locale on this thread, for as long as it lives: Qt and GTK set the user's, in which a comma may end the whole
/// part of a number. What other threads of the host do with their locale meanwhile changes nothing here.
class PlainNumbers {
public:
    PlainNumbers() noexcept : before_(uselocale(plain())) {}
    ~PlainNumbers() { uselocale(before_); }
    PlainNumbers(const PlainNumbers &) = delete;
    PlainNumbers &operator=(const PlainNumbers &) = delete;

private:
    static locale_t plain() noexcept {
        static const locale_t made = newlocale(LC_ALL_MASK, "C", nullptr);
        return made;
    }

    locale_t before_;
};

/// A share as Python writes it with ".2%".
std::string percent(double share);

} // namespace csflow
