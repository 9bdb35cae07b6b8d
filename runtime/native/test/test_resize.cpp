// Every form of the resize gives the same bytes, on every processor; what is no number in the map of a tile stays it.
// Rounds: the argument, or few.
#include "check.h"
#include "picture/resize_kernels.h"
#include "picture/tiles.h"
#include "bundle/sha256.h"

#include <cmath>
#include <random>
#include <string>

namespace {

// What x86-64 made of the first pictures, where Python compares the plain form with Pillow.
constexpr int kRounds = 300;
constexpr const char *kSha256 = "72a3cedb1cb9cc99273e19e25e8ddb26eef068fc33b02b1614cb548375e1b38d";

std::uint32_t draw() {
    static std::mt19937 generator(5);
    return static_cast<std::uint32_t>(generator());
}

std::int32_t up_to(std::uint32_t most) { return 1 + static_cast<std::int32_t>(draw() % most); }

struct Picture {
    // Three or four bytes for a pixel, in either order; nothing behind the last pixel.
    Picture() {
        const std::uint32_t limit = 1U << draw() % 10;
        const std::int32_t width = up_to(limit), height = up_to(1U << draw() % 9), bytes = 2 + up_to(2);
        const bool reversed = draw() % 2 == 0;
        pixels.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) *
                      static_cast<std::size_t>(bytes));
        for (std::uint8_t &pixel : pixels) {
            const std::uint32_t level = draw();
            pixel = static_cast<std::uint8_t>(level % 4 == 0 ? 255 : level >> 8);
        }
        view = {pixels.data(), std::int64_t{width} * bytes, width, height, bytes, 3, reversed ? 2 : 0, 1,
                reversed ? 0 : 2, nullptr, 0, 0, 0, &none, nullptr, 0};
    }
    std::vector<std::uint8_t> pixels;
    std::vector<csflow::Roi> none;
    csflow::View view{};
};

std::vector<std::uint8_t> resized(const Picture &picture, std::int32_t size, const csflow::Kernels &form) {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * 3);
    csflow::Resizer(size, picture.view.width, picture.view.height, form).resize(picture.view, out.data());
    return out;
}

// Whichever of two tiles that overlap comes first.
void test_what_is_no_number_stays_it() {
    const csflow::Tiles tiles{4, 2};
    const csflow::TileGrid grid(tiles, {0, 0, 6, 4});
    const std::vector<float> odd(4, std::nanf("")), large(4, 9.0F);
    const csflow::Map maps[] = {{odd.data(), 2, 2}, {large.data(), 2, 2}};
    csflow::Stitched stitched(tiles, 6, 4, maps[0]);
    for (int first : {0, 1}) {
        stitched.begin(grid, maps[0]);
        stitched.add(grid.box(0), maps[first]);
        stitched.add(grid.box(1), maps[1 - first]);
        const csflow::Map all = stitched.map();
        CHECK(grid.size() == 2 && all.width == 3 && all.height == 2);
        for (int column = 0; column < 3; ++column) {
            const bool alone = column == (first == 0 ? 2 : 0);
            CHECK(alone ? all.values[column] == 9.0F : std::isnan(all.values[column]));
        }
    }
}

} // namespace

int main(int count, char **arguments) {
    test_what_is_no_number_stays_it();
    const int rounds = count > 1 ? std::atoi(arguments[1]) : kRounds;
    const std::vector<csflow::Kernels> forms = csflow::kernels_of_this_processor();
    std::string hashes;
    for (int round = 0; round < rounds; ++round) {
        const Picture picture;
        const std::int32_t size = 32 * up_to(6);
        const std::vector<std::uint8_t> plain = resized(picture, size, forms.front());
        for (const csflow::Kernels &form : forms) {
            CHECK(resized(picture, size, form) == plain);
        }
        hashes += round < kRounds ? csflow::sha256_hex(plain.data(), plain.size()) : "";
    }
    const std::string all = csflow::sha256_hex(hashes.data(), hashes.size());
    if (rounds >= kRounds && all != kSha256) {
        std::fprintf(stderr, "%s\n", all.c_str());
        CHECK(!"the bytes of x86-64");
    }
    return 0;
}
