/* Pictures to verdicts: inspect BUNDLE DEVICE PICTURE.ppm...   One line each; exit code 2 when a part is not OK.
 * Reads binary PGM (P5) and PPM (P6) of 8 bits, so that it needs no other library. */
#include <csflow.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(csflow_detector detector, const char *what) {
    char words[512];
    csflow_last_error(detector, words, sizeof words);
    fprintf(stderr, "%s: %s\n", what, words);
    return 1;
}

/* Fill `image`; its pixels are the caller's to free. NULL where the file is no such picture. */
static uint8_t *read_picture(const char *path, csflow_image *image) {
    FILE *file = fopen(path, "rb");
    uint8_t *pixels = NULL;
    char kind = 0;
    int width = 0, height = 0, highest = 0;
    if (file == NULL) {
        return NULL;
    }
    if (fscanf(file, "P%c %d %d %d", &kind, &width, &height, &highest) == 4 && fgetc(file) != EOF && highest == 255 &&
        (kind == '5' || kind == '6') && width > 0 && width <= 65535 && height > 0 && height <= 65535) {
        const size_t row = (size_t)width * (kind == '6' ? 3 : 1);
        pixels = malloc(row * (size_t)height);
        if (pixels != NULL && fread(pixels, row, (size_t)height, file) != (size_t)height) {
            free(pixels);
            pixels = NULL;
        }
        memset(image, 0, sizeof *image);
        image->struct_size = sizeof *image;
        image->format = kind == '6' ? CSFLOW_FORMAT_RGB8 : CSFLOW_FORMAT_GRAY8;
        image->width = width;
        image->height = height;
        image->row_stride = (int64_t)row;
        image->data = pixels;
    }
    fclose(file);
    return pixels;
}

/* 1 when the part may pass, 0 when not. */
static int inspect(csflow_detector detector, const char *path) {
    static const char *const names[] = {"NONE", "OK", "NOK", "UNCERTAIN", "ERROR"};
    csflow_image image;
    csflow_result result;
    uint8_t *pixels = read_picture(path, &image);
    if (pixels == NULL) {
        fprintf(stderr, "%s is no PGM or PPM of 8 bits\n", path);
        return 0;
    }
    result.struct_size = sizeof result;
    if (csflow_detect(detector, &image, &result) != CSFLOW_OK) {
        complain(detector, path);
    }
    free(pixels);
    printf("%s\t%.9g\t%d,%d\t%s\n", names[result.verdict], result.score, (int)result.peak_x, (int)result.peak_y, path);
    return result.verdict_code == CSFLOW_CODE_OK;
}

int main(int count, char **arguments) {
    csflow_detector detector = 0;
    csflow_options options;
    int passed = 1;
    if (count < 4) {
        fprintf(stderr, "usage: inspect BUNDLE DEVICE PICTURE.ppm...\n");
        return 1;
    }
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.api_version = CSFLOW_API_VERSION;
    options.device = arguments[2];
    if (csflow_open(&detector, arguments[1], &options) != CSFLOW_OK) {
        return complain(0, "cannot open the bundle");
    }
    for (int i = 3; i < count; ++i) {
        passed &= inspect(detector, arguments[i]);
    }
    csflow_close(detector);
    return passed ? 0 : 2;
}
