// Other threads, other processes, PLC cycles: submit, poll, close, fork, deadlines. Rounds: the argument, or few.
#include "opened.h"
#include "resources.h"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <climits>
#include <clocale>
#include <csignal>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace csflow_test;

namespace {

csflow_cycle_out blank_cycle() {
    csflow_cycle_out out{};
    out.struct_size = sizeof out;
    return out;
}

csflow_cycle_in request(const csflow_image &image, std::uint32_t deadline_ms = 0) {
    csflow_cycle_in in{};
    in.struct_size = sizeof in;
    in.req = 1;
    in.deadline_ms = deadline_ms;
    in.image = image;
    return in;
}

csflow_result polled(csflow_detector detector) {
    csflow_result result = blank_result();
    csflow_status status = CSFLOW_PENDING;
    while ((status = csflow_poll(detector, &result)) == CSFLOW_PENDING) {
    }
    CHECK(status == CSFLOW_OK);
    return result;
}

void test_submit_and_poll(csflow_detector detector) {
    Plain plain(100);
    plain.image.frame_id = 42;
    csflow_result result = blank_result();
    CHECK(csflow_poll(detector, &result) == CSFLOW_IDLE);
    CHECK(csflow_submit(detector, &plain.image) == CSFLOW_OK);
    CHECK(csflow_submit(detector, &plain.image) == CSFLOW_BUSY);
    CHECK(csflow_detect(detector, &plain.image, &result) == CSFLOW_BUSY && result.verdict == CSFLOW_VERDICT_ERROR);
    CHECK(result.reason == CSFLOW_REASON_BUSY);
    result = polled(detector);
    CHECK(result.verdict == CSFLOW_VERDICT_OK && result.frame_id == 42 && result.status == CSFLOW_OK);
    CHECK(csflow_poll(detector, &result) == CSFLOW_IDLE);
    plain.image.format = 77;
    CHECK(csflow_submit(detector, &plain.image) == CSFLOW_INVALID_ARGUMENT);
    CHECK(csflow_poll(detector, nullptr) == CSFLOW_INVALID_ARGUMENT);
}

csflow_cycle_out run_to_end(csflow_detector detector, const csflow_cycle_in &in) {
    csflow_cycle_out out = blank_cycle();
    do {
        CHECK(csflow_cycle(detector, &in, &out) == CSFLOW_OK);
        CHECK(out.busy + out.done + out.error == 1);
        CHECK(out.busy == 0 || (out.status == CSFLOW_PENDING && out.result.verdict_code == CSFLOW_CODE_NONE));
    } while (out.busy != 0);
    return out;
}

void test_a_cycle(csflow_detector detector) {
    Plain plain(100);
    plain.image.frame_id = 5;
    csflow_cycle_in in = request(plain.image);
    csflow_cycle_out out = run_to_end(detector, in);
    CHECK(out.done == 1 && out.status == CSFLOW_OK && out.result.verdict_code == CSFLOW_CODE_OK);
    CHECK(out.result.frame_id == 5);
    const std::uint32_t cycles = out.cycles;
    CHECK(csflow_cycle(detector, &in, &out) == CSFLOW_OK && out.done == 1 && out.cycles == cycles + 1); // REQ holds it
    in.req = 0;
    CHECK(csflow_cycle(detector, &in, &out) == CSFLOW_OK);
    CHECK(out.busy + out.done + out.error == 0 && out.status == CSFLOW_IDLE);
    CHECK(out.result.verdict_code == CSFLOW_CODE_NONE);
    in.req = 1;
    in.image.format = 99;
    out = run_to_end(detector, in);
    CHECK(out.error == 1 && out.status == CSFLOW_INVALID_ARGUMENT && out.result.verdict_code == CSFLOW_CODE_ERROR);
    in.req = 0;
    CHECK(csflow_cycle(detector, &in, &out) == CSFLOW_OK && out.error == 0);
}

// REQ falls while BUSY: the end is shown for one cycle.
void test_a_short_request(csflow_detector detector) {
    const Plain plain(200);
    csflow_cycle_in in = request(plain.image);
    csflow_cycle_out out = blank_cycle();
    CHECK(csflow_cycle(detector, &in, &out) == CSFLOW_OK && out.busy == 1);
    in.req = 0;
    out = run_to_end(detector, in);
    CHECK(out.done == 1 && out.result.verdict_code == CSFLOW_CODE_NOK);
    CHECK(csflow_cycle(detector, &in, &out) == CSFLOW_OK && out.done == 0);
}

// 512 x 512 pixels take longer than a deadline that lies in the past by the second call.
void test_a_missed_deadline(csflow_detector detector) {
    const Plain plain(100, 512, 512);
    csflow_cycle_in in = request(plain.image, 1);
    bool missed = false;
    for (int attempt = 0; attempt < 1000 && !missed; ++attempt) {
        in.req = 1;
        csflow_cycle_out out = blank_cycle();
        CHECK(csflow_cycle(detector, &in, &out) == CSFLOW_OK);
        if (out.error != 0) { // the late picture of the round before is still in work
            CHECK(out.status == CSFLOW_BUSY);
        }
        out = run_to_end(detector, in);
        missed = out.status == CSFLOW_DEADLINE;
        CHECK(!missed || (out.error == 1 && out.result.verdict_code == CSFLOW_CODE_ERROR &&
                          out.result.reason == CSFLOW_REASON_DEADLINE));
        in.req = 0;
        CHECK(csflow_cycle(detector, &in, &out) == CSFLOW_OK);
    }
    // Whether it was missed depends on the machine; that the next request works does not.
    in.deadline_ms = 0;
    csflow_cycle_out out = blank_cycle();
    do {
        in.req = 1;
        out = run_to_end(detector, in);
        in.req = 0;
        csflow_cycle_out idle = blank_cycle();
        CHECK(csflow_cycle(detector, &in, &idle) == CSFLOW_OK);
    } while (out.status == CSFLOW_BUSY);
    CHECK(out.done == 1 && out.result.verdict_code == CSFLOW_CODE_OK);
}

// fault: A1
void test_close_while_others_call(const std::string &bundle, int rounds) {
    const Plain plain(100);
    for (int round = 0; round < rounds; ++round) {
        const csflow_detector detector = opened(bundle);
        std::atomic<bool> closed{false};
        const auto poller = [&] {
            csflow_result result = blank_result();
            while (csflow_poll(detector, &result) != CSFLOW_BAD_HANDLE) {
                csflow_submit(detector, &plain.image);
            }
            CHECK(closed);
        };
        const auto caller = [&] {
            csflow_result result = blank_result();
            while (csflow_detect(detector, &plain.image, &result) != CSFLOW_BAD_HANDLE) {
                char text[64];
                csflow_last_error(detector, text, sizeof text);
            }
            CHECK(result.verdict == CSFLOW_VERDICT_ERROR);
        };
        std::thread one(poller);
        std::thread two(caller);
        closed = true;
        CHECK(csflow_close(detector) == CSFLOW_OK);
        one.join();
        two.join();
        CHECK(csflow_close(detector) == CSFLOW_BAD_HANDLE);
    }
}

// fault: A2
void test_open_and_close_leave_nothing(const std::string &bundle, int rounds) {
    const std::size_t before = descriptors();
    long pages = 0;
    for (int round = 0; round < rounds; ++round) {
        CHECK(csflow_close(opened(bundle)) == CSFLOW_OK);
        pages = round == rounds / 4 ? resident_pages() : pages;
    }
    CHECK(descriptors() == before);
    CHECK(resident_pages() - pages < 256);
    std::vector<csflow_detector> many;
    for (int i = 0; i < 64; ++i) {
        many.push_back(opened(bundle));
    }
    csflow_detector detector = 0;
    const csflow_options options = fake_options();
    CHECK(csflow_open(&detector, bundle.c_str(), &options) == CSFLOW_CONFIG_ERROR && says(0, "64 detectors"));
    for (const csflow_detector one : many) {
        CHECK(csflow_close(one) == CSFLOW_OK);
    }
}

void test_many_pictures(csflow_detector detector, int rounds) {
    const Plain plain(100);
    csflow_result result = blank_result();
    const std::size_t before = descriptors();
    long pages = 0;
    for (int round = 0; round < rounds; ++round) {
        CHECK(csflow_detect(detector, &plain.image, &result) == CSFLOW_OK && result.verdict == CSFLOW_VERDICT_OK);
        pages = round == rounds / 4 ? resident_pages() : pages;
    }
    CHECK(descriptors() == before);
    CHECK(resident_pages() - pages < 64);
}

// fault: A5
void test_a_child_process_is_told(csflow_detector detector) {
    const pid_t child = fork();
    if (child == 0) {
        csflow_result result = blank_result();
        const Plain plain(100);
        const bool told = csflow_detect(detector, &plain.image, &result) == CSFLOW_FORKED &&
                          csflow_poll(detector, &result) == CSFLOW_FORKED && csflow_close(detector) == CSFLOW_FORKED;
        _exit(told ? 0 : 1);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void handler(int) {}

// Signals, rounding, locale: as the host set them, before and after.
// fault: A5
void test_the_host_is_left_alone(const std::string &bundle) {
    struct sigaction ours {};
    ours.sa_handler = handler;
    for (const int signal : {SIGSEGV, SIGCHLD, SIGPIPE, SIGTERM}) {
        CHECK(sigaction(signal, &ours, nullptr) == 0);
    }
    std::setlocale(LC_ALL, "de_DE.UTF-8");
    const std::string locale = std::setlocale(LC_ALL, nullptr);
    CHECK(std::fesetround(FE_UPWARD) == 0);
    const csflow_detector detector = opened(bundle);
    const Plain plain(100);
    csflow_result result = blank_result();
    CHECK(csflow_detect(detector, &plain.image, &result) == CSFLOW_OK && csflow_close(detector) == CSFLOW_OK);
    CHECK(std::fegetround() == FE_UPWARD && std::fesetround(FE_TONEAREST) == 0);
    CHECK(locale == std::setlocale(LC_ALL, nullptr));
    for (const int signal : {SIGSEGV, SIGCHLD, SIGPIPE, SIGTERM}) {
        struct sigaction now {};
        CHECK(sigaction(signal, nullptr, &now) == 0 && now.sa_handler == handler);
        CHECK(std::signal(signal, SIG_DFL) != SIG_ERR);
    }
}

// A PLC task: a small stack.
void *small_stack(void *argument) {
    const csflow_detector detector = *static_cast<csflow_detector *>(argument);
    static const Plain plain(100, 512, 512);
    csflow_result result = blank_result();
    CHECK(csflow_detect(detector, &plain.image, &result) == CSFLOW_OK);
    CHECK(csflow_submit(detector, &plain.image) == CSFLOW_OK);
    polled(detector);
    return nullptr;
}

// fault: A4
void test_a_small_stack(csflow_detector detector) {
    pthread_attr_t attributes;
    pthread_t thread{};
    const std::size_t least = std::max(static_cast<std::size_t>(PTHREAD_STACK_MIN), std::size_t{64} << 10);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, kSanitized ? std::size_t{1} << 20 : least) == 0);
    CHECK(pthread_create(&thread, &attributes, small_stack, &detector) == 0 && pthread_join(thread, nullptr) == 0);
    pthread_attr_destroy(&attributes);
}

} // namespace

int main(int count, char **arguments) {
    const int rounds = count > 1 ? std::atoi(arguments[1]) : 20;
    const std::string bundle = calibrated_bundle("threads");
    const csflow_detector detector = opened(bundle);
    test_submit_and_poll(detector);
    test_a_cycle(detector);
    test_a_short_request(detector);
    test_a_missed_deadline(detector);
    test_many_pictures(detector, rounds * 10);
    test_a_child_process_is_told(detector);
    test_a_small_stack(detector);
    CHECK(csflow_close(detector) == CSFLOW_OK);
    test_close_while_others_call(bundle, rounds);
    test_open_and_close_leave_nothing(bundle, rounds);
    test_the_host_is_left_alone(bundle);
    return 0;
}
