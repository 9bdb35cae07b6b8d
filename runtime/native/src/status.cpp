#include "status.h"
#include "numbers.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace csflow {
namespace {

// Plain bytes: a thread-local with a destructor would tie the library to the life of foreign threads.
thread_local char last_error[kErrorBytes] = "";

constexpr std::size_t kErrorLongest = 5120; // before it is cut: a path may have 4096 bytes
constexpr std::size_t kErrorHead = 160;
constexpr const char *kErrorGap = " ... ";

bool is_inside_character(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

} // namespace

// What happened stands at the beginning, why and what to do at the end; a long path between them gives way.
void store_error(const char *message) noexcept {
    const std::size_t length = std::strlen(message);
    if (length < kErrorBytes) {
        std::memmove(last_error, message, length + 1);
        return;
    }
    const char *tail = message + length - (kErrorBytes - kErrorHead - std::strlen(kErrorGap));
    while (is_inside_character(*++tail)) {
    }
    copy_text(message, last_error, kErrorHead);
    std::strcat(std::strcat(last_error, kErrorGap), tail);
}

void fail(csflow_status status, const char *format, ...) {
    const PlainNumbers plain;
    va_list arguments;
    va_start(arguments, format);
    char whole[kErrorLongest];
    std::vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    store_error(whole);
    throw Failure{status};
}

const char *stored_error() noexcept { return last_error; }

std::size_t copy_text(const char *from, char *to, std::size_t size) noexcept {
    const std::size_t length = std::strlen(from);
    if (size > 0) {
        std::size_t cut = length < size ? length : size - 1;
        while (cut < length && cut > 0 && is_inside_character(from[cut])) {
            --cut;
        }
        std::memcpy(to, from, cut);
        to[cut] = '\0';
    }
    return length + 1;
}

} // namespace csflow

extern "C" {

const char *csflow_version(void) { return CSFLOW_VERSION; }

const char *csflow_strerror(csflow_status status) {
    switch (status) {
    case CSFLOW_OK: return "OK";
    case CSFLOW_PENDING: return "pending: the picture is not finished";
    case CSFLOW_IDLE: return "idle: nothing was submitted";
    case CSFLOW_CONFIG_ERROR: return "ConfigError: an option or configuration value is wrong";
    case CSFLOW_DATA_ERROR: return "DataError: a data set cannot be used";
    case CSFLOW_CALIBRATION_ERROR: return "CalibrationError: a threshold is missing or belongs to another model";
    case CSFLOW_BUNDLE_ERROR: return "BundleError: the bundle is missing or incomplete";
    case CSFLOW_BUNDLE_VERSION_ERROR: return "BundleVersionError: the bundle's format is newer than this library";
    case CSFLOW_BUNDLE_CORRUPTED: return "BundleCorrupted: a file of the bundle is damaged";
    case CSFLOW_ENGINE_ERROR: return "EngineError: an engine cannot be opened or has failed";
    case CSFLOW_BACKEND_UNAVAILABLE: return "BackendUnavailable: the library behind a back end is missing";
    case CSFLOW_ENGINE_MISMATCH: return "EngineMismatch: the engine does not fit the bundle or the machine";
    case CSFLOW_INFERENCE_ERROR: return "InferenceError: the engine failed on a frame";
    case CSFLOW_SOURCE_ERROR: return "SourceError: a picture or its source cannot be used";
    case CSFLOW_PART_NOT_FOUND: return "PartNotFound: the picture does not show the part";
    case CSFLOW_FRAME_ERROR: return "FrameError: one frame could not be delivered";
    case CSFLOW_SOURCE_LOST: return "SourceLost: a source that had worked stopped";
    case CSFLOW_SINK_ERROR: return "SinkError: a result cannot be written";
    case CSFLOW_INVALID_ARGUMENT: return "invalid argument: the calling program is wrong";
    case CSFLOW_OUT_OF_MEMORY: return "out of memory";
    case CSFLOW_INTERNAL_ERROR: return "internal error: please report it";
    case CSFLOW_BAD_HANDLE: return "bad handle: the detector was closed already, or never opened";
    case CSFLOW_BUSY: return "busy: a picture is in work";
    case CSFLOW_FORKED: return "forked: the detector belongs to the parent process";
    case CSFLOW_DEADLINE: return "deadline: no verdict in time";
    case CSFLOW_WORKER_CRASHED: return "worker crashed: csflow-worker ended, or sent nonsense";
    case CSFLOW_WORKER_HUNG: return "worker hung: csflow-worker gave no answer in time";
    case CSFLOW_NOT_VERIFIED: return "not verified: the decision gate has not passed the engine";
    default: return "unknown status";
    }
}

} // extern "C"
