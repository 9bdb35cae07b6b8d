// Any bytes as a TensorRT plan: a header or a status.
#include "engine/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    csflow::guarded([&] {
        csflow::parse_plan_header({reinterpret_cast<const char *>(data), size}, "x.plan").text();
    });
    return 0;
}
