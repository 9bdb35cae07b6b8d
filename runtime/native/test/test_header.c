/* The header in C99: layouts without holes, and what is refused without any bundle. */
#include "check.h"

#include <float.h>
#include <stddef.h>

#define NEXT(type, field, next) (offsetof(type, field) + sizeof(((type *)0)->field) == offsetof(type, next))
#define LAST(type, field) (offsetof(type, field) + sizeof(((type *)0)->field) == sizeof(type))

// fault: A6
static void test_structures_have_no_padding(void) {
    CHECK(sizeof(csflow_result) == 80 && LAST(csflow_result, reserved));
    CHECK(NEXT(csflow_options, cache, unverified) && LAST(csflow_options, reserved));
    CHECK(NEXT(csflow_result, struct_size, status) && NEXT(csflow_result, status, frame_id));
    CHECK(NEXT(csflow_result, verdict_code, reason) && NEXT(csflow_result, reason, score));
    CHECK(NEXT(csflow_result, p_value, peak_x) && NEXT(csflow_result, peak_y, latency_ns) && NEXT(csflow_result, latency_ns, verified));
    CHECK(sizeof(csflow_description) == 576 && LAST(csflow_description, method));
    CHECK(NEXT(csflow_description, weights_sha256, distrust) && NEXT(csflow_description, distrust, method));
    CHECK(NEXT(csflow_description, map_height, warn_threshold) && NEXT(csflow_description, reject_threshold, recipe));
    CHECK(LAST(csflow_image, frame_id) && NEXT(csflow_image, height, row_stride));
    CHECK(NEXT(csflow_cycle_in, reserved, image) && LAST(csflow_cycle_in, image));
    CHECK(NEXT(csflow_cycle_out, cycles, result) && LAST(csflow_cycle_out, result));
    CHECK(sizeof(csflow_self_test_result) == 32 && LAST(csflow_self_test_result, map_error));
}

static int bits_that_differ(unsigned a, unsigned b) {
    int count = 0;
    for (unsigned x = a ^ b; x != 0; x &= x - 1) {
        ++count;
    }
    return count;
}

static void test_codes_are_far_apart(void) {
    const unsigned codes[] = {CSFLOW_CODE_NONE, CSFLOW_CODE_OK, CSFLOW_CODE_NOK, CSFLOW_CODE_UNCERTAIN,
                              CSFLOW_CODE_ERROR, 0xFFFF};
    for (int i = 0; i < 6; ++i) {
        for (int k = 0; k < i; ++k) {
            CHECK(bits_that_differ(codes[i], codes[k]) >= 8);
        }
    }
}

static void test_zeroed_memory_is_no_verdict(void) {
    csflow_result result;
    csflow_cycle_out out;
    memset(&result, 0, sizeof result);
    memset(&out, 0, sizeof out);
    CHECK(result.verdict == CSFLOW_VERDICT_NONE && CSFLOW_VERDICT_NONE != CSFLOW_VERDICT_OK);
    CHECK(result.verdict_code == CSFLOW_CODE_NONE && out.done == 0 && out.result.verdict_code != CSFLOW_CODE_OK);
}

// fault: A1
static void test_numbers_that_are_no_detectors_are_refused(void) {
    const csflow_detector garbage[] = {0, 1, 0xC5F1000000000100u, 0xC5F1000000000140u, UINT64_MAX, 0xDEADBEEFu};
    csflow_result result;
    csflow_cycle_in in;
    csflow_cycle_out out;
    csflow_image image;
    csflow_description about;
    csflow_self_test_result test;
    const float *values = NULL;
    int32_t width = 0, height = 0;
    float pixel = 0;
    memset(&in, 0, sizeof in);
    memset(&image, 0, sizeof image);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; ++i) {
        const csflow_detector none = garbage[i];
        result.struct_size = sizeof result;
        out.struct_size = sizeof out;
        about.struct_size = sizeof about;
        test.struct_size = sizeof test;
        result.verdict = CSFLOW_VERDICT_OK;
        CHECK(csflow_describe(none, &about) == CSFLOW_BAD_HANDLE);
        CHECK(csflow_detect(none, &image, &result) == CSFLOW_BAD_HANDLE);
        CHECK(result.verdict == CSFLOW_VERDICT_ERROR && result.verdict_code == CSFLOW_CODE_ERROR);
        CHECK(csflow_submit(none, &image) == CSFLOW_BAD_HANDLE);
        CHECK(csflow_poll(none, &result) == CSFLOW_BAD_HANDLE);
        CHECK(csflow_anomaly_map(none, &values, &width, &height) == CSFLOW_BAD_HANDLE);
        CHECK(csflow_render_map(none, &pixel, 4, 1, 1) == CSFLOW_BAD_HANDLE);
        CHECK(csflow_cycle(none, &in, &out) == CSFLOW_BAD_HANDLE && out.error == 1 && out.busy == 0 && out.done == 0);
        CHECK(csflow_self_test(none, &test) == CSFLOW_BAD_HANDLE);
        CHECK(csflow_close(none) == CSFLOW_BAD_HANDLE);
        CHECK(says(0, "closed already, or never opened"));
    }
}

static void test_opening_nothing_is_refused(void) {
    csflow_detector detector = 7;
    csflow_options options;
    memset(&options, 0, sizeof options);
    CHECK(csflow_open(NULL, "x", NULL) == CSFLOW_INVALID_ARGUMENT);
    CHECK(csflow_open(&detector, "/nonexistent/model.csflow", NULL) == CSFLOW_BUNDLE_ERROR && detector == 0);
    CHECK(says(0, "no bundle at /nonexistent/model.csflow"));
    CHECK(csflow_open(&detector, "x", &options) == CSFLOW_INVALID_ARGUMENT && says(0, "struct_size is 0"));
    options.struct_size = sizeof options;
    CHECK(csflow_open(&detector, "x", &options) == CSFLOW_INVALID_ARGUMENT && says(0, "api_version is 0"));
    options.api_version = CSFLOW_API_VERSION;
    options.max_width = -1;
    CHECK(csflow_open(&detector, "x", &options) == CSFLOW_CONFIG_ERROR && says(0, "largest side is -1"));
}

static void test_words(void) {
    char text[8];
    CHECK(csflow_version()[0] >= '0' && csflow_version()[0] <= '9');
    CHECK(strncmp(csflow_strerror(CSFLOW_BUNDLE_CORRUPTED), "BundleCorrupted", 15) == 0);
    CHECK(strcmp(csflow_strerror(12345), "unknown status") == 0);
    CHECK(csflow_close(0) == CSFLOW_BAD_HANDLE);
    CHECK(csflow_last_error(0, NULL, 0) == csflow_last_error(0, text, sizeof text));
    CHECK(strlen(text) == sizeof text - 1);
}

int main(void) {
    char said[4] = "x";
    CHECK(csflow_last_error(0, said, sizeof said) == 1 && said[0] == '\0');
    test_structures_have_no_padding();
    test_codes_are_far_apart();
    test_zeroed_memory_is_no_verdict();
    test_numbers_that_are_no_detectors_are_refused();
    test_opening_nothing_is_refused();
    test_words();
    return 0;
}
