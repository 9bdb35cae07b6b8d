#include "worker/message.h"
#include "status.h"

#include <cstring>
#include <sys/mman.h>
#include <sys/socket.h>

namespace csflow {
namespace {

constexpr std::size_t kHead = offsetof(WorkerMessage, sequence);

std::size_t squared(std::int32_t side) noexcept {
    return static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
}

// FNV-1a: against accidents, such as a library that prints into descriptor 3.
std::uint32_t check_of(const WorkerMessage &message) noexcept {
    const auto *bytes = reinterpret_cast<const unsigned char *>(&message);
    std::uint32_t check = 2166136261U;
    for (std::size_t at = kHead; at < sizeof message; ++at) {
        check = (check ^ bytes[at]) * 16777619U;
    }
    return check;
}

template <std::size_t Size> bool is_text(const char (&text)[Size]) noexcept {
    return std::memchr(text, '\0', Size) != nullptr;
}

} // namespace

WorkerMessage worker_message(WorkerKind kind, std::uint64_t sequence) noexcept {
    WorkerMessage message{};
    message.kind = kind;
    message.sequence = sequence;
    return message;
}

void seal(WorkerMessage &message) noexcept {
    message.length = sizeof message;
    message.check = check_of(message);
}

const char *fault_of(const WorkerMessage &message, std::size_t received, std::uint64_t sequence) noexcept {
    if (received != sizeof message || message.length != sizeof message) {
        return "a message of the wrong length";
    }
    if (message.check != check_of(message)) {
        return "a damaged message";
    }
    if (message.sequence != sequence) {
        return "the answer to another picture";
    }
    const bool failure = message.kind == WORKER_FAILURE;
    if (!failure && message.kind != (sequence == 0 ? WORKER_READY : WORKER_SCORE)) {
        return "a message of the wrong kind";
    }
    if (!is_text(message.bundle_sha256) || !is_text(message.text) || failure != (message.status < CSFLOW_OK)) {
        return "a message that contradicts itself";
    }
    return nullptr;
}

bool send_message(int socket, WorkerMessage message) noexcept {
    seal(message);
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    return ::send(socket, &message, sizeof message, flags) == static_cast<ssize_t>(sizeof message);
}

std::size_t SharedFrame::bytes(std::int32_t image_size) noexcept {
    // The side is a multiple of 32, so the map is aligned. Pages that nobody touches cost nothing.
    return squared(image_size) * (3 + sizeof(float));
}

SharedFrame::SharedFrame(int descriptor, std::int32_t image_size)
    : image_size_(image_size),
      memory_(mmap(nullptr, bytes(image_size), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)) {
    if (memory_ == MAP_FAILED) {
        fail(CSFLOW_OUT_OF_MEMORY, "cannot map %zu bytes of shared memory: free memory", bytes(image_size));
    }
}

SharedFrame::~SharedFrame() { munmap(memory_, bytes(image_size_)); }

std::uint8_t *SharedFrame::input() const noexcept { return static_cast<std::uint8_t *>(memory_); }

float *SharedFrame::map() const noexcept {
    return reinterpret_cast<float *>(input() + squared(image_size_) * 3);
}

} // namespace csflow
