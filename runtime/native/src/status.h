// Errors inside the library, and the firewall that turns them into status numbers.
#pragma once

#include "csflow.h"

#include <cstddef>
#include <exception>
#include <new>

namespace csflow {

/// Room for an error's words with their final zero, wherever they are kept.
constexpr std::size_t kErrorBytes = 512;

/// Thrown inside the library only. The message has been stored by `fail` already.
struct Failure {
    csflow_status status;
};

/// Store the message (printf) as this thread's last error and throw.
[[noreturn, gnu::format(printf, 2, 3)]] void fail(csflow_status status, const char *format, ...);

/// Store `message` as this thread's last error; one that is too long loses its middle. Neither allocates nor throws.
void store_error(const char *message) noexcept;

/// This thread's last error; valid until its next one.
const char *stored_error() noexcept;

/// Copy at most size - 1 bytes and a final zero, never half a character of UTF-8; returns the bytes that all needs.
std::size_t copy_text(const char *from, char *to, std::size_t size) noexcept;

/// Run `body`; whatever it throws becomes a status.
template <typename Body> csflow_status guarded(Body &&body) noexcept {
    try {
        body();
        return CSFLOW_OK;
    } catch (const Failure &failure) {
        return failure.status;
    } catch (const std::bad_alloc &) {
        store_error("not enough memory: announce smaller pictures, or free memory");
        return CSFLOW_OUT_OF_MEMORY;
    } catch (...) {
        store_error("unexpected fault inside libcsflow: please report it");
        return CSFLOW_INTERNAL_ERROR;
    }
}

} // namespace csflow
