/* libcsflow: an inspection in process. The same bundle as csflow in Python, the same numbers.
 *
 * Order of calls: csflow_open, csflow_describe; then for each picture csflow_detect (waits), or csflow_submit and
 * csflow_poll (never wait), or csflow_cycle (one call for each cycle of a PLC task); csflow_close at the end.
 *
 * Ownership: the caller owns every buffer, and pictures are borrowed. A `const char *` is never freed. A detector is a
 * number; one that was closed, or never opened, is refused and never followed.
 * Memory: csflow_open and csflow_self_test allocate. Pictures do not (OpenVINO does); a refused call may, while it lasts.
 * Threads: every function may be called from any thread; a detector at work answers CSFLOW_BUSY to a second picture.
 * Errors: CSFLOW_OK, a positive "not yet", or a negative error whose words csflow_last_error has. No exception,
 * signal, exit or output ever leaves the library.
 * Structures: set struct_size to sizeof (0 is refused). Later versions only append; all else zero means the default.
 */
#ifndef CSFLOW_H
#define CSFLOW_H
#include <stddef.h>
#include <stdint.h>
#if defined(_WIN32)
#define CSFLOW_CALL __cdecl
#else
#define CSFLOW_CALL
#endif
#if defined(__GNUC__) && defined(CSFLOW_BUILDING)
#define CSFLOW_API __attribute__((visibility("default")))
#else
#define CSFLOW_API
#endif
#ifdef __cplusplus
extern "C" {
#endif

#define CSFLOW_API_VERSION 1
/* One number for each error of csflow.runtime.errors, whose name it carries, and from -100 on those of C alone. */
typedef int32_t csflow_status;
enum {
    CSFLOW_OK = 0,
    CSFLOW_PENDING = 1,               /* the picture is not finished: poll again */
    CSFLOW_IDLE = 2,                  /* nothing was submitted */
    CSFLOW_CONFIG_ERROR = -1,         /* correct the option */
    CSFLOW_DATA_ERROR = -2,           /* correct the images or their folders */
    CSFLOW_CALIBRATION_ERROR = -3,    /* run csflow calibrate for this bundle */
    CSFLOW_BUNDLE_ERROR = -4,         /* name the right bundle, or make it */
    CSFLOW_BUNDLE_VERSION_ERROR = -5, /* update csflow */
    CSFLOW_BUNDLE_CORRUPTED = -6,     /* copy or make the bundle again */
    CSFLOW_ENGINE_ERROR = -7,         /* make the engine again */
    CSFLOW_BACKEND_UNAVAILABLE = -8,  /* install the back end, or its driver */
    CSFLOW_ENGINE_MISMATCH = -9,      /* export again for this machine or model */
    CSFLOW_INFERENCE_ERROR = -10,     /* restart; if it comes back, report it */
    CSFLOW_SOURCE_ERROR = -11,        /* check the camera, or the picture that was given */
    CSFLOW_FRAME_ERROR = -12,         /* one picture could not be delivered; go on */
    CSFLOW_SOURCE_LOST = -13,         /* check cable and power */
    CSFLOW_SINK_ERROR = -14,          /* free the disk, or correct the output path */
    CSFLOW_PART_NOT_FOUND = -15,      /* look at the picture: it shows no part, or one that lies out of reach */
    CSFLOW_INVALID_ARGUMENT = -100,   /* a null pointer, an unknown format, a wrong size: correct the program */
    CSFLOW_OUT_OF_MEMORY = -101,      /* ask for smaller pictures, or free memory */
    CSFLOW_INTERNAL_ERROR = -102,     /* a fault of csflow: report it */
    CSFLOW_BAD_HANDLE = -103,         /* no such detector: closed already, or never opened */
    CSFLOW_BUSY = -104,               /* a picture is in work: wait for its result */
    CSFLOW_FORKED = -105,             /* opened before fork(): open again in the child */
    CSFLOW_DEADLINE = -106,           /* no verdict in time; the part has none */
    CSFLOW_NOT_VERIFIED = -107,       /* the decision gate has not passed the engine: run csflow verify */
    CSFLOW_WORKER_CRASHED = -108,     /* csflow-worker ended, or sent nonsense; it is started again */
    CSFLOW_WORKER_HUNG = -109         /* csflow-worker gave no answer in time; it is started again */
};

/* --- opening ------------------------------------------------------------------------------------------- */
typedef uint64_t csflow_detector; /* 0 is none */
typedef struct csflow_options {
    uint32_t struct_size;
    uint32_t api_version; /* CSFLOW_API_VERSION */
    int32_t max_width;    /* largest picture in pixels, to 65535; 0: 8192 */
    int32_t max_height;
    const char *device;   /* auto (or NULL), openvino-fp32, -bf16, -int8, tensorrt-fp32, -fp16, fake;
                           * worker:DEVICE runs one of them in a process of its own, csflow-worker */
    const char *library;  /* file of the back end's library; NULL: look where docs/native.md says */
    const char *cache;    /* existing folder for compiled models; NULL: compile at each open */
    uint32_t unverified;  /* 1: open an engine too that the decision gate has not passed; results then say so */
    uint32_t worker_deadline_ms; /* worker: without an answer for so long it has hung; 0: 10000 */
    uint32_t any_size;    /* 1: judge pictures of another aspect or far smaller than the training's too */
    uint32_t reserved;
} csflow_options;

/* Open a bundle, prepare its engine, let it score the golden frames, and look up what the decision gate found:
 * nothing unverified decides unasked.
 * bundle: path in UTF-8; NULL: $CSFLOW_BUNDLE or model.csflow. options: NULL for all defaults. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_open(csflow_detector *out, const char *bundle,
                                                 const csflow_options *options);
typedef struct csflow_description {
    uint32_t struct_size;
    int32_t image_size;           /* side of the model's input in pixels */
    int32_t roi[4];               /* x, y, width, height in pixels of the camera's picture; all 0: the whole picture */
    int32_t map_width, map_height; /* values of the anomaly map; of a bundle that cuts pictures, of a tile's */
    double warn_threshold;        /* score above: UNCERTAIN */
    double reject_threshold;      /* score above: NOK */
    char recipe[64];              /* name of the bundle's folder without .csflow, cut to fit */
    char engine[32];              /* such as openvino-fp32 */
    char bundle_sha256[72];       /* of the manifest, and so of every file but the thresholds */
    char weights_sha256[72];      /* identity of the model; calibration.json is bound to it */
    char distrust[256];           /* why the engine is not verified, cut to fit; empty where it is */
    char method[32];              /* what detects, such as cs-flow */
} csflow_description;
CSFLOW_API csflow_status CSFLOW_CALL csflow_describe(csflow_detector detector, csflow_description *out);

/* --- pictures and results ------------------------------------------------------------------------------ */
enum { CSFLOW_FORMAT_RGB8 = 1, CSFLOW_FORMAT_BGR8, CSFLOW_FORMAT_GRAY8, CSFLOW_FORMAT_BGRX8, CSFLOW_FORMAT_NV12,
       CSFLOW_FORMAT_GRAY16 };
typedef struct csflow_image {
    uint32_t struct_size;
    int32_t format;        /* CSFLOW_FORMAT_...; NV12 is BT.601, limited range, even width and height;
                            * GRAY16: two bytes a pixel in this machine's order, for bundles with a window */
    int32_t width;         /* pixels */
    int32_t height;
    int64_t row_stride;    /* bytes from a row to the one below; negative: stored bottom-up */
    const uint8_t *data;   /* first byte of the top row */
    const uint8_t *chroma; /* NV12: first byte of the interleaved U, V; NULL: right after the rows of data */
    int64_t chroma_stride; /* NV12: bytes from a row of chroma to the next; 0: row_stride */
    int64_t captured_ns;   /* CLOCK_MONOTONIC at capture; 0: the call */
    uint64_t frame_id;     /* comes back in the result */
} csflow_image;

/* Verdict: .verdict counts up, .verdict_code is for the wire (any two differ in 8 bits; accept 0x5AA5 only). */
enum { CSFLOW_VERDICT_NONE, CSFLOW_VERDICT_OK, CSFLOW_VERDICT_NOK, CSFLOW_VERDICT_UNCERTAIN, CSFLOW_VERDICT_ERROR };
enum { CSFLOW_CODE_NONE = 0x0000, CSFLOW_CODE_OK = 0x5AA5, CSFLOW_CODE_NOK = 0xA53C, CSFLOW_CODE_UNCERTAIN = 0x3C5A,
       CSFLOW_CODE_ERROR = 0xC3C3 };
/* Why the verdict is not OK. */
enum { CSFLOW_REASON_NONE = 0, CSFLOW_REASON_ABOVE_WARN = 1, CSFLOW_REASON_ABOVE_REJECT = 2,
       CSFLOW_REASON_PICTURE = 105, CSFLOW_REASON_WORKER_CRASHED = 203, CSFLOW_REASON_WORKER_HUNG = 204,
       CSFLOW_REASON_INFERENCE = 206, CSFLOW_REASON_NOT_FINITE = 207,
       CSFLOW_REASON_BUSY = 401, CSFLOW_REASON_DEADLINE = 404, CSFLOW_REASON_INTERNAL = 900 };
typedef struct csflow_result {
    uint32_t struct_size;
    csflow_status status;   /* of the picture; when not CSFLOW_OK the verdict is ERROR */
    uint64_t frame_id;
    int32_t verdict;        /* CSFLOW_VERDICT_... */
    uint16_t verdict_code;  /* CSFLOW_CODE_... */
    uint16_t reason;        /* CSFLOW_REASON_... */
    double score;           /* higher is more anomalous; NaN: none */
    double warn_threshold;
    double reject_threshold;
    double p_value;         /* share of good parts expected to score this high; NaN: none */
    int32_t peak_x;         /* highest point of the map in pixels of the picture; -1: none */
    int32_t peak_y;
    int64_t latency_ns;     /* from capture to verdict */
    uint32_t verified;      /* 1: by an engine that the decision gate has passed; 0: not, or no engine was asked */
    uint32_t reserved;
} csflow_result;
/* Wait for the verdict on one picture. When the call fails the result is written too: ERROR, with status and reason. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_detect(csflow_detector detector, const csflow_image *image,
                                                   csflow_result *out);

/* Begin a picture and return at once. Its pixels stay borrowed until csflow_poll gives the result. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_submit(csflow_detector detector, const csflow_image *image);
/* CSFLOW_OK: the result, once, even where result.status is an error. CSFLOW_PENDING, CSFLOW_IDLE: nothing was written.
 * Neither waits, nor locks, nor allocates. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_poll(csflow_detector detector, csflow_result *out);

/* Lend the map of the last result: (*height, *width) float32 row by row, until the next picture or csflow_close. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_anomaly_map(csflow_detector detector, const float **values, int32_t *width,
                                                        int32_t *height);
/* Enlarge it bilinearly to width x height, the size of its picture; rows row_stride bytes apart, 0 outside the roi. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_render_map(csflow_detector detector, float *out, int64_t row_stride,
                                                       int32_t width, int32_t height);

/* --- one call per PLC cycle ---------------------------------------------------------------------------- */
typedef struct csflow_cycle_in {
    uint32_t struct_size;
    uint32_t req;         /* a rising edge begins a picture */
    uint32_t deadline_ms; /* from that edge; 0: none */
    uint32_t reserved;
    csflow_image image;   /* read at that edge; borrowed while BUSY, after CSFLOW_DEADLINE until REQ succeeds again */
} csflow_cycle_in;
typedef struct csflow_cycle_out {
    uint32_t struct_size;
    uint8_t busy, done, error; /* exactly one is 1 from the edge until REQ falls and the end was seen; else all 0 */
    uint8_t reserved;
    csflow_status status;      /* CSFLOW_IDLE, CSFLOW_PENDING, CSFLOW_OK with DONE, or the error */
    uint32_t cycles;           /* counts the calls: proof of life */
    csflow_result result;      /* valid with DONE; zero while BUSY; verdict ERROR with ERROR */
} csflow_cycle_out;
/* REQ, BUSY, DONE, ERROR, STATUS; never waits. Fails only when called wrongly, with ERROR in *out. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_cycle(csflow_detector detector, const csflow_cycle_in *in,
                                                  csflow_cycle_out *out);

/* --- golden frames, end, words ------------------------------------------------------------------------- */
typedef struct csflow_self_test_result {
    uint32_t struct_size;
    int32_t frames;
    int32_t flips;       /* verdicts that differ from the trained model's */
    int32_t reserved;
    double score_error;  /* largest error of a score, see docs/c-api/csflow_self_test.md */
    double map_error;    /* largest error of a map, as a share of its sum */
} csflow_self_test_result;
/* Score the golden frames again. CSFLOW_ENGINE_MISMATCH: they do not agree with the trained model. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_self_test(csflow_detector detector, csflow_self_test_result *out);
/* Waits for the picture in work, then releases everything. */
CSFLOW_API csflow_status CSFLOW_CALL csflow_close(csflow_detector detector);
CSFLOW_API const char *CSFLOW_CALL csflow_version(void);
CSFLOW_API const char *CSFLOW_CALL csflow_strerror(csflow_status status);
/* Copy what the last failed call said, cut to size, with its final zero; returns the bytes that all of it needs.
 * detector: 0 for what this thread's calls said; reading does not clear. text may be NULL when size is 0. */
CSFLOW_API size_t CSFLOW_CALL csflow_last_error(csflow_detector detector, char *text, size_t size);
#ifdef __cplusplus
}
#endif
#endif /* CSFLOW_H */
