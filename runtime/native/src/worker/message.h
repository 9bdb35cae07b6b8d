// What libcsflow and csflow-worker say to each other: messages of one size over a socket, picture and map in shared
// memory. The host trusts nothing that it receives.
#pragma once

#include "status.h"

#include <cstddef>
#include <cstdint>

namespace csflow {

enum WorkerKind : std::uint32_t {
    WORKER_READY = 1,   // from the worker, sequence 0: the engine is open
    WORKER_PICTURE = 2, // to the worker: score what lies in the shared memory
    WORKER_SCORE = 3,   // from the worker, with the picture's sequence
    WORKER_FAILURE = 4, // from the worker, its last message: status and text
};

struct WorkerMessage {
    std::uint32_t length; // sizeof
    std::uint32_t check;  // of all that follows
    std::uint64_t sequence;
    std::uint32_t kind;
    std::int32_t status;
    float score;
    std::int32_t map_width, map_height;
    std::uint32_t reserved;
    char bundle_sha256[72];
    char text[kErrorBytes]; // READY: version of the worker; FAILURE: what happened
};
static_assert(sizeof(WorkerMessage) == 112 + kErrorBytes, "no padding");

// Where the worker finds its two descriptors, and how it ends when the engine fails.
constexpr int kWorkerSocket = 3;
constexpr int kWorkerMemory = 4;
constexpr int kWorkerFailed = 70;

/// A message with its final zeros in the texts, not yet sealed.
WorkerMessage worker_message(WorkerKind kind, std::uint64_t sequence) noexcept;

/// Set length and check.
void seal(WorkerMessage &message) noexcept;

/// Why `received` bytes in `message` are not the answer to `sequence`; NULL where they are.
const char *fault_of(const WorkerMessage &message, std::size_t received, std::uint64_t sequence) noexcept;

/// Seal and send at once, without SIGPIPE. False: nobody listens.
bool send_message(int socket, WorkerMessage message) noexcept;

/// Picture (S, S, 3) uint8 and room for a map of S x S float32.
class SharedFrame {
public:
    static std::size_t bytes(std::int32_t image_size) noexcept;

    /// Maps `descriptor`. OUT_OF_MEMORY: it cannot be mapped.
    SharedFrame(int descriptor, std::int32_t image_size);
    ~SharedFrame();
    SharedFrame(const SharedFrame &) = delete;
    SharedFrame &operator=(const SharedFrame &) = delete;

    std::uint8_t *input() const noexcept;
    float *map() const noexcept;

private:
    std::int32_t image_size_;
    void *memory_;
};

} // namespace csflow
