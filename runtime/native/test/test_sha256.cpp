// SHA-256 in each form that this processor has: the examples of FIPS 180-4, and the same for every length and parting.
#include "bundle/sha256.h"
#include "check.h"

#include <algorithm>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kMany = 1'000'000;

struct Example {
    std::string text;
    const char *hash;
};

std::string hashed(csflow::Sha256Compress form, const std::uint8_t *data, std::size_t size, std::size_t at_once) {
    csflow::Sha256 hash(form);
    for (std::size_t at = 0; at < size; at += at_once) {
        hash.add(data + at, std::min(at_once, size - at));
    }
    return hash.hex();
}

const std::uint8_t *bytes_of(const std::string &text) { return reinterpret_cast<const std::uint8_t *>(text.data()); }

void gives_the_examples(csflow::Sha256Compress form) {
    const Example examples[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {std::string(kMany, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    for (const Example &one : examples) {
        CHECK(hashed(form, bytes_of(one.text), one.text.size(), kMany) == one.hash);
    }
}

void agrees_with_the_portable_form(csflow::Sha256Compress form) {
    std::vector<std::uint8_t> data(kMany + 1);
    std::uint32_t random = 1;
    for (std::uint8_t &byte : data) {
        random = random * 1664525U + 1013904223U;
        byte = static_cast<std::uint8_t>(random >> 24);
    }
    for (std::size_t size = 0; size <= 300; ++size) {
        const std::uint8_t *odd = data.data() + size % 5;
        const std::string expected = hashed(csflow::sha256_portable, odd, size, kMany);
        for (const std::size_t at_once : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65}, kMany}) {
            CHECK(hashed(form, odd, size, at_once) == expected);
        }
    }
    const std::string expected = hashed(csflow::sha256_portable, data.data() + 1, kMany, kMany);
    CHECK(hashed(form, data.data() + 1, kMany, 4097) == expected);
}

} // namespace

int main() {
    const csflow::Sha256Compress hardware = csflow::sha256_hardware();
    for (const csflow::Sha256Compress form : {csflow::sha256_portable, hardware}) {
        if (form != nullptr) {
            gives_the_examples(form);
            agrees_with_the_portable_form(form);
        }
    }
    std::printf("%s\n", hardware != nullptr ? "portable and the processor's own" : "portable alone");
    return 0;
}
