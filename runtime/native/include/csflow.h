/* libcsflow: the line side of csflow, in process.
 *
 * What it does today: turn a camera's picture into the input of the model, bit for bit as csflow.runtime does.
 *
 * Order of calls:
 *     csflow_preprocessor_open    once, on the way up; the only function that allocates
 *     csflow_preprocess           for each picture; neither blocks nor does I/O, and allocates nothing (a call that
 *                                 is refused may, for as long as it lasts)
 *     csflow_preprocessor_close   once
 *
 * Ownership: the caller owns every buffer. What the library returns as `const char *` is its own and is never
 * freed. A handle belongs to who opened it, is closed once, and is used by one thread at a time; different
 * handles may be used by different threads.
 *
 * Errors: a function returns CSFLOW_OK or a negative status, in which case its outputs are as they were.
 * csflow_last_error says in words what happened, what was expected and what to do. No exception, signal or exit
 * ever leaves the library.
 */
#ifndef CSFLOW_H
#define CSFLOW_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define CSFLOW_CALL __cdecl
#if defined(CSFLOW_BUILDING)
#define CSFLOW_API __declspec(dllexport)
#else
#define CSFLOW_API __declspec(dllimport)
#endif
#else
#define CSFLOW_CALL
#define CSFLOW_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* --- status -------------------------------------------------------------------------------------------- */

/* One number for each error of csflow.runtime.errors, whose name it carries, and three of C alone. The width is
 * fixed; the enumeration below only names the values. */
typedef int32_t csflow_status;

enum {
    CSFLOW_OK = 0,

    CSFLOW_CONFIG_ERROR = -1,        /* correct the option or the configuration file */
    CSFLOW_DATA_ERROR = -2,          /* correct the images or their folders */
    CSFLOW_CALIBRATION_ERROR = -3,   /* bring more good parts, or calibrate again */
    CSFLOW_BUNDLE_ERROR = -4,        /* name the right bundle, or make it */
    CSFLOW_BUNDLE_VERSION_ERROR = -5,/* update csflow */
    CSFLOW_BUNDLE_CORRUPTED = -6,    /* copy or make the bundle again */
    CSFLOW_ENGINE_ERROR = -7,        /* make the engine again */
    CSFLOW_BACKEND_UNAVAILABLE = -8, /* install the back end */
    CSFLOW_ENGINE_MISMATCH = -9,     /* export again for this machine or model */
    CSFLOW_INFERENCE_ERROR = -10,    /* restart; if it comes back, report it */
    CSFLOW_SOURCE_ERROR = -11,       /* check the camera, or the picture that was given */
    CSFLOW_FRAME_ERROR = -12,        /* one picture could not be delivered; go on */
    CSFLOW_SOURCE_LOST = -13,        /* check cable and power */
    CSFLOW_SINK_ERROR = -14,         /* free the disk, or correct the output path */

    CSFLOW_INVALID_ARGUMENT = -100,  /* a null pointer, an unknown format, a wrong size: correct the program */
    CSFLOW_OUT_OF_MEMORY = -101,     /* ask for smaller pictures, or free memory */
    CSFLOW_INTERNAL_ERROR = -102     /* a fault of csflow: report it */
};

/* The version of the library, "major.minor.patch". */
CSFLOW_API const char *CSFLOW_CALL csflow_version(void);

/* The name and meaning of a status, for any number. */
CSFLOW_API const char *CSFLOW_CALL csflow_strerror(csflow_status status);

/* What the last failed call of this thread said, in one line; "" before the first. Reading does not clear it. It
 * is valid until the next failed call of this thread. */
CSFLOW_API const char *CSFLOW_CALL csflow_last_error(void);

/* --- pictures ------------------------------------------------------------------------------------------ */

/* Layout of a pixel in memory; the value travels in csflow_image.format. */
enum {
    CSFLOW_FORMAT_NONE = 0,
    CSFLOW_FORMAT_RGB8 = 1,  /* 3 bytes: red, green, blue */
    CSFLOW_FORMAT_BGR8 = 2,  /* 3 bytes: blue, green, red */
    CSFLOW_FORMAT_GRAY8 = 3, /* 1 byte, used for all three channels */
    CSFLOW_FORMAT_BGRX8 = 4  /* 4 bytes: blue, green, red, ignored */
};

/* A borrowed picture: the library reads it during the call and keeps nothing. */
typedef struct csflow_image {
    uint32_t struct_size; /* sizeof(csflow_image), so that the library knows which fields there are */
    int32_t format;       /* CSFLOW_FORMAT_... */
    int32_t width;        /* pixels, 1..65535 */
    int32_t height;       /* pixels, 1..65535 */
    int64_t row_stride;   /* bytes from a row to the next one below; negative for pictures stored bottom-up */
    const uint8_t *data;  /* first byte of the top row; (height - 1) * row_stride + width * pixel bytes are read */
} csflow_image;

#define CSFLOW_IMAGE_INIT {(uint32_t)sizeof(csflow_image), 0, 0, 0, 0, NULL}

/* --- preprocessing ------------------------------------------------------------------------------------- */

/* `preprocessing` in a bundle's manifest.json. */
typedef struct csflow_preprocessing {
    uint32_t struct_size; /* sizeof(csflow_preprocessing) */
    int32_t image_size;   /* side S of the model's input in pixels: a multiple of 32 from 32 to 8192 */
    int32_t roi_x;        /* region of interest in pixels of the camera's picture; */
    int32_t roi_y;
    int32_t roi_width;    /* width and height both 0: the whole picture */
    int32_t roi_height;
} csflow_preprocessing;

#define CSFLOW_PREPROCESSING_INIT {(uint32_t)sizeof(csflow_preprocessing), 0, 0, 0, 0, 0}

typedef struct csflow_preprocessor csflow_preprocessor;

/* Prepare for pictures of at most max_width by max_height pixels (each 1..65535), and allocate all memory that
 * csflow_preprocess will need: about 3 * S * max_height bytes, plus weights. On success *out is the handle.
 *
 * CSFLOW_CONFIG_ERROR: image_size, the region or a maximum is out of range, or the region leaves the largest picture.
 * CSFLOW_OUT_OF_MEMORY, CSFLOW_INVALID_ARGUMENT (null pointer, struct_size too small). */
CSFLOW_API csflow_status CSFLOW_CALL csflow_preprocessor_open(csflow_preprocessor **out,
                                                              const csflow_preprocessing *how,
                                                              int32_t max_width, int32_t max_height);

/* Crop to the region of interest, convert to RGB, and resize to S x S by the antialiased bilinear filter that
 * Pillow's Image.resize(..., BILINEAR, box) defines on 8-bit pixels, columns first, then rows, each rounded to
 * 8 bits. csflow.runtime.preprocess gives the same to the bit.
 *
 * out: S * S * 3 bytes, RGB, rows without gaps; out_bytes: its size, at least that many. It must not overlap the
 * picture.
 *
 * CSFLOW_SOURCE_ERROR: the picture is larger than was announced, or the region leaves it.
 * CSFLOW_INVALID_ARGUMENT: null pointer, unknown format, size out of range, stride shorter than a row, out too small. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_preprocess(csflow_preprocessor *handle, const csflow_image *image,
                                                       uint8_t *out, size_t out_bytes);

/* Release the handle; NULL is allowed. The handle must not be used again. */
CSFLOW_API void CSFLOW_CALL csflow_preprocessor_close(csflow_preprocessor *handle);

#ifdef __cplusplus
}
#endif

#endif /* CSFLOW_H */
