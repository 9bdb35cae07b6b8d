// Any bytes as manifest.json: a manifest or a status. The hash over itself is made to fit, so that what lies behind it
// is reached too.
#include "bundle/bundle.h"
#include "bundle/sha256.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    csflow::guarded([&] { csflow::parse_manifest(text, "manifest.json"); });
    csflow::guarded([&] {
        const csflow::Json value = csflow::parse_json(text, CSFLOW_BUNDLE_CORRUPTED, "manifest.json", "copy it again");
        const std::string canonical = csflow::canonical_json(value, "manifest_sha256");
        const std::string hash = csflow::sha256_hex(canonical.data(), canonical.size());
        if (canonical.size() > 2 && canonical.front() == '{') {
            const std::string fitting =
                "{\"manifest_sha256\":\"" + hash + "\"," + canonical.substr(1);
            csflow::parse_manifest(fitting, "manifest.json");
        }
    });
    return 0;
}
