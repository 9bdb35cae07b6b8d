// What one resize costs, in each form that this processor has:
// bench_resize [WIDTH HEIGHT SIZE [ROUNDS [FORM [EXPOSURE]]]].
#include "check.h"
#include "picture/resize_kernels.h"

#include <chrono>

namespace {

double seconds_of(csflow::Resizer &resizer, const csflow::View &view, int rounds, std::vector<std::uint8_t> &out) {
    const auto begun = std::chrono::steady_clock::now();
    for (int round = 0; round < rounds; ++round) {
        resizer.resize(view, out.data());
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count() / rounds;
}

} // namespace

int main(int count, char **arguments) {
    const auto number = [&](int i, int otherwise) { return count > i ? std::atoi(arguments[i]) : otherwise; };
    const int width = number(1, 1920), height = number(2, 1080), size = number(3, 384), rounds = number(4, 20);
    const std::vector<std::uint8_t> pixels(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3, 90);
    const std::vector<csflow::Roi> none;
    const csflow::View view{pixels.data(), width * 3, width, height, 3, 3, 0, 1, 2, nullptr, 0, 0, 0, &none, nullptr,
                            number(6, 0)};
    std::vector<std::uint8_t> out(static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * 3);
    for (const csflow::Kernels &form : csflow::kernels_of_this_processor()) {
        if (count <= 5 || strcmp(arguments[5], form.name) == 0) {
            csflow::Resizer resizer(size, width, height, form);
            resizer.resize(view, out.data()); // the weights
            std::printf("%s\t%.3f ms\n", form.name, seconds_of(resizer, view, rounds, out) * 1e3);
        }
    }
    return 0;
}
