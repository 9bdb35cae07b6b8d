#include "api/handles.h"

#include <array>
#include <ctime>
#include <unistd.h>

namespace csflow {
namespace {

constexpr std::uint64_t kSlots = 64;
constexpr std::uint64_t kMagic = std::uint64_t{0xC5F1} << 48;
constexpr std::uint64_t kGenerations = std::uint64_t{1} << 40;

struct Slot {
    std::atomic<bool> occupied{false};
    std::atomic<csflow_detector> handle{0};
    std::atomic<std::uint32_t> users{0};
    std::uint64_t generation = 0; // of who occupies
    Opened *opened = nullptr;
};

// Never destroyed: a thread of the host may still call while the process ends.
std::array<Slot, kSlots> slots;

// magic | generation | index
csflow_detector number(std::uint64_t generation, std::uint64_t index) noexcept {
    return kMagic | generation % kGenerations << 8 | index;
}

Slot *slot_of(csflow_detector handle) noexcept {
    const std::uint64_t index = handle & 0xFF;
    return index < kSlots ? &slots[index] : nullptr;
}

void wait_until_unused(const Slot &slot) noexcept {
    while (slot.users.load() != 0) {
        const timespec moment{0, 100000};
        nanosleep(&moment, nullptr);
    }
}

} // namespace

const char *refusal(csflow_status status) noexcept {
    return status == CSFLOW_FORKED ? "the detector was opened before fork(): open it again in this process"
                                   : "no such detector: it was closed already, or never opened";
}

csflow_detector add_handle(std::unique_ptr<Opened> opened) {
    for (std::uint64_t index = 0; index < kSlots; ++index) {
        Slot &slot = slots[index];
        if (slot.occupied.exchange(true)) {
            continue;
        }
        slot.generation = slot.generation % (kGenerations - 1) + 1;
        slot.opened = opened.release();
        const csflow_detector handle = number(slot.generation, index);
        slot.handle.store(handle);
        return handle;
    }
    fail(CSFLOW_CONFIG_ERROR, "%llu detectors are open: close one first", static_cast<unsigned long long>(kSlots));
}

void remove_handle(csflow_detector handle) {
    if (const Pinned pinned(handle); pinned.status() != CSFLOW_OK) {
        fail(pinned.status(), "%s", refusal(pinned.status()));
    }
    Slot *slot = slot_of(handle);
    if (!slot->handle.compare_exchange_strong(handle, 0)) {
        fail(CSFLOW_BAD_HANDLE, "%s", refusal(CSFLOW_BAD_HANDLE));
    }
    wait_until_unused(*slot);
    delete slot->opened;
    slot->opened = nullptr;
    slot->occupied.store(false);
}

Pinned::Pinned(csflow_detector handle) noexcept : handle_(handle) {
    Slot *slot = handle == 0 ? nullptr : slot_of(handle);
    if (slot == nullptr) {
        return;
    }
    // First counted, then looked at: whoever removes the handle afterwards sees the count.
    slot->users.fetch_add(1);
    if (slot->handle.load() != handle) {
        slot->users.fetch_sub(1);
        return;
    }
    opened_ = slot->opened;
    status_ = opened_->detector.process() == getpid() ? CSFLOW_OK : CSFLOW_FORKED;
}

Pinned::~Pinned() {
    if (opened_ != nullptr) {
        slot_of(handle_)->users.fetch_sub(1);
    }
}

} // namespace csflow
