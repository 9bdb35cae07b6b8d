/* The C interface as a C99 program sees it. Equality with Pillow is tests/native/test_native.py's to show. */
#include "csflow.h"

#include "check.h"

#include <limits.h>
#include <string.h>

#define SIDE 32
#define OUT (SIDE * SIDE * 3)

static uint8_t picture[SIDE * SIDE * 4];
static uint8_t out[OUT];

static csflow_image image_of(int32_t format, int32_t width, int32_t height, int64_t row_stride) {
    csflow_image image = CSFLOW_IMAGE_INIT;
    image.format = format;
    image.width = width;
    image.height = height;
    image.row_stride = row_stride;
    image.data = picture;
    return image;
}

static csflow_preprocessor *opened(int32_t max_width, int32_t max_height) {
    csflow_preprocessing how = CSFLOW_PREPROCESSING_INIT;
    csflow_preprocessor *handle = NULL;
    how.image_size = SIDE;
    CHECK(csflow_preprocessor_open(&handle, &how, max_width, max_height) == CSFLOW_OK);
    CHECK(handle != NULL);
    return handle;
}

static void fill_picture(void) {
    size_t i;
    for (i = 0; i < sizeof picture; ++i) {
        picture[i] = (uint8_t)(i * 7 + i / 5);
    }
}

static void test_status_numbers_have_words(void) {
    int32_t status;
    CHECK(strcmp(csflow_strerror(CSFLOW_OK), "OK") == 0);
    for (status = CSFLOW_SINK_ERROR; status < 0; ++status) {
        CHECK(strcmp(csflow_strerror(status), "unknown status") != 0);
    }
    CHECK(strcmp(csflow_strerror(INT32_MIN), "unknown status") == 0);
    CHECK(strcmp(csflow_strerror(1), "unknown status") == 0);
}

static void test_a_picture_of_the_right_size_is_copied(void) {
    csflow_preprocessor *handle = opened(SIDE, SIDE);
    csflow_image image = image_of(CSFLOW_FORMAT_RGB8, SIDE, SIDE, SIDE * 3);
    CHECK(csflow_preprocess(handle, &image, out, sizeof out) == CSFLOW_OK);
    CHECK(memcmp(out, picture, sizeof out) == 0);
    csflow_preprocessor_close(handle);
}

static void test_formats_agree(void) {
    csflow_preprocessor *handle = opened(SIDE, SIDE);
    csflow_image bgrx = image_of(CSFLOW_FORMAT_BGRX8, SIDE, SIDE, SIDE * 4);
    csflow_image gray = image_of(CSFLOW_FORMAT_GRAY8, SIDE, SIDE, SIDE);
    size_t i;
    CHECK(csflow_preprocess(handle, &bgrx, out, sizeof out) == CSFLOW_OK);
    for (i = 0; i < SIDE * SIDE; ++i) {
        CHECK(out[3 * i] == picture[4 * i + 2] && out[3 * i + 1] == picture[4 * i + 1] && out[3 * i + 2] == picture[4 * i]);
    }
    CHECK(csflow_preprocess(handle, &gray, out, sizeof out) == CSFLOW_OK);
    for (i = 0; i < SIDE * SIDE; ++i) {
        CHECK(out[3 * i] == picture[i] && out[3 * i + 1] == picture[i] && out[3 * i + 2] == picture[i]);
    }
    csflow_preprocessor_close(handle);
}

static void refused(csflow_preprocessor *handle, const csflow_image *image, size_t bytes, csflow_status expected,
                    const char *words) {
    memset(out, 0xA5, sizeof out);
    CHECK(csflow_preprocess(handle, image, out, bytes) == expected);
    CHECK(strstr(csflow_last_error(), words) != NULL);
    CHECK(out[0] == 0xA5 && out[OUT - 1] == 0xA5);
}

static void test_bad_pictures_are_refused(void) {
    csflow_preprocessor *handle = opened(SIDE, SIDE);
    csflow_image image = image_of(CSFLOW_FORMAT_RGB8, SIDE, SIDE, SIDE * 3);
    csflow_image bad = image;
    refused(NULL, &image, OUT, CSFLOW_INVALID_ARGUMENT, "handle is NULL");
    refused(handle, NULL, OUT, CSFLOW_INVALID_ARGUMENT, "image is NULL");
    CHECK(csflow_preprocess(handle, &image, NULL, OUT) == CSFLOW_INVALID_ARGUMENT);
    refused(handle, &image, OUT - 1, CSFLOW_INVALID_ARGUMENT, "out has 3071 bytes, 3072 are written");
    bad.struct_size = 8;
    refused(handle, &bad, OUT, CSFLOW_INVALID_ARGUMENT, "struct_size");
    bad = image;
    bad.data = NULL;
    refused(handle, &bad, OUT, CSFLOW_INVALID_ARGUMENT, "data is NULL");
    bad = image;
    bad.format = 99;
    refused(handle, &bad, OUT, CSFLOW_INVALID_ARGUMENT, "format is 99");
    bad.format = CSFLOW_FORMAT_NONE;
    refused(handle, &bad, OUT, CSFLOW_INVALID_ARGUMENT, "format is 0");
    bad = image_of(CSFLOW_FORMAT_RGB8, 0, SIDE, SIDE * 3);
    refused(handle, &bad, OUT, CSFLOW_INVALID_ARGUMENT, "image is 0x32");
    bad = image_of(CSFLOW_FORMAT_RGB8, SIDE, INT32_MAX, SIDE * 3);
    refused(handle, &bad, OUT, CSFLOW_INVALID_ARGUMENT, "image is 32x2147483647");
    bad = image_of(CSFLOW_FORMAT_RGB8, SIDE + 1, SIDE, SIDE * 4);
    refused(handle, &bad, OUT, CSFLOW_SOURCE_ERROR, "at most 32x32 were announced");
    bad = image_of(CSFLOW_FORMAT_RGB8, SIDE, SIDE, SIDE * 3 - 1);
    refused(handle, &bad, OUT, CSFLOW_INVALID_ARGUMENT, "row_stride is 95 bytes: at least 96");
    bad.row_stride = INT64_MIN;
    refused(handle, &bad, OUT, CSFLOW_INVALID_ARGUMENT, "row_stride");
    CHECK(csflow_preprocess(handle, &image, out, sizeof out) == CSFLOW_OK);
    CHECK(strstr(csflow_last_error(), "row_stride") != NULL);
    csflow_preprocessor_close(handle);
}

static void open_refused(csflow_preprocessing how, int32_t max_width, csflow_status expected, const char *words) {
    csflow_preprocessor *handle = (csflow_preprocessor *)picture;
    CHECK(csflow_preprocessor_open(&handle, &how, max_width, 50) == expected);
    CHECK(strstr(csflow_last_error(), words) != NULL);
    CHECK(handle == (csflow_preprocessor *)picture);
}

static csflow_preprocessing settings(int32_t size, int32_t x, int32_t y, int32_t width, int32_t height) {
    csflow_preprocessing how = CSFLOW_PREPROCESSING_INIT;
    how.image_size = size;
    how.roi_x = x;
    how.roi_y = y;
    how.roi_width = width;
    how.roi_height = height;
    return how;
}

static void test_bad_settings_are_refused(void) {
    csflow_preprocessing how = settings(SIDE, 0, 0, 0, 0);
    CHECK(csflow_preprocessor_open(NULL, &how, 50, 50) == CSFLOW_INVALID_ARGUMENT);
    open_refused(settings(0, 0, 0, 0, 0), 50, CSFLOW_CONFIG_ERROR, "image_size is 0");
    open_refused(settings(33, 0, 0, 0, 0), 50, CSFLOW_CONFIG_ERROR, "image_size is 33");
    open_refused(settings(8224, 0, 0, 0, 0), 50, CSFLOW_CONFIG_ERROR, "image_size is 8224");
    open_refused(how, 0, CSFLOW_CONFIG_ERROR, "largest picture is 0x50");
    open_refused(how, 65536, CSFLOW_CONFIG_ERROR, "largest picture is 65536x50");
    open_refused(settings(SIDE, -1, 0, 5, 5), 50, CSFLOW_CONFIG_ERROR, "region");
    open_refused(settings(SIDE, 0, 0, 5, 0), 50, CSFLOW_CONFIG_ERROR, "region");
    open_refused(settings(SIDE, 1, 1, 0, 0), 50, CSFLOW_CONFIG_ERROR, "region");
    open_refused(settings(SIDE, 46, 0, 5, 5), 50, CSFLOW_CONFIG_ERROR, "leaves the picture of 50x50");
    open_refused(settings(SIDE, 0, 0, INT32_MAX, 5), 50, CSFLOW_CONFIG_ERROR, "region");
    how.struct_size = 0;
    open_refused(how, 50, CSFLOW_INVALID_ARGUMENT, "struct_size is 0");
    csflow_preprocessor_close(NULL);
}

int main(void) {
    CHECK(strcmp(csflow_last_error(), "") == 0);
    fill_picture();
    test_status_numbers_have_words();
    test_a_picture_of_the_right_size_is_copied();
    test_formats_agree();
    test_bad_pictures_are_refused();
    test_bad_settings_are_refused();
    return 0;
}
