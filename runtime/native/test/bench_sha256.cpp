// What hashing costs, in each form that this processor has, in turn: bench_sha256 [MEGABYTES [ROUNDS]].
#include "bundle/sha256.h"
#include "check.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace {

double seconds_of(csflow::Sha256Compress form, const std::vector<std::uint8_t> &data) {
    const auto begun = std::chrono::steady_clock::now();
    csflow::Sha256 hash(form);
    hash.add(data.data(), data.size());
    CHECK(hash.hex().size() == 64);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

} // namespace

int main(int count, char **arguments) {
    const auto number = [&](int i, int otherwise) { return count > i ? std::atoi(arguments[i]) : otherwise; };
    const std::vector<std::uint8_t> data(static_cast<std::size_t>(number(1, 100)) * 1'000'000, 7);
    const csflow::Sha256Compress hardware = csflow::sha256_hardware();
    std::vector<double> portable, own;
    for (int round = number(2, 9); round > 0; --round) {
        portable.push_back(seconds_of(csflow::sha256_portable, data));
        own.push_back(hardware != nullptr ? seconds_of(hardware, data) : portable.back());
    }
    std::sort(portable.begin(), portable.end());
    std::sort(own.begin(), own.end());
    const double before = portable[portable.size() / 2], now = own[own.size() / 2];
    std::printf("portable\t%.3f s\nthe processor's own\t%.3f s\t%.3f of it\n", before, now, now / before);
    return 0;
}
