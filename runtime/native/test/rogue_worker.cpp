// A csflow-worker that passes the golden frames and then does what $CSFLOW_ROGUE says.
#include "engine/engine.h"
#include "worker/message.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace csflow;

namespace {

constexpr int kGolden = 2;

std::string mode;

void send_bytes(const WorkerMessage &message, std::size_t size) {
    char bytes[2 * sizeof message] = "";
    std::memcpy(bytes, &message, sizeof message);
    ::send(kWorkerSocket, bytes, size, MSG_NOSIGNAL);
}

void end_badly() {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (mode == "exit") {
        _exit(0);
    }
    if (mode == "abort") {
        raise(SIGABRT);
    }
    if (mode == "hang") {
        raise(SIGSTOP);
    }
    if (mode == "deaf") {
        close(kWorkerSocket);
        raise(SIGSTOP);
    }
}

// One fault each; what is not named stays as it should be.
void answer_badly(WorkerMessage message, const SharedFrame &frame) {
    if (mode == "stale") {
        --message.sequence;
    } else if (mode == "kind") {
        message.kind = WORKER_READY;
    } else if (mode == "contradiction") {
        message.status = CSFLOW_INTERNAL_ERROR;
    } else if (mode == "endless") {
        std::fill_n(message.text, sizeof message.text, 'x');
    } else if (mode == "nan") {
        message.score = std::numeric_limits<float>::quiet_NaN();
    } else if (mode == "infinite") {
        frame.map()[1] = std::numeric_limits<float>::infinity();
    } else if (mode == "failure") {
        message.kind = WORKER_FAILURE;
        message.status = CSFLOW_INFERENCE_ERROR;
        std::strcpy(message.text, "error 700 of the GPU");
    }
    seal(message);
    if (mode == "damaged") {
        message.score += 1.0F;
    }
    send_bytes(message, mode == "short" ? 9 : mode == "long" ? sizeof message + 1 : sizeof message);
}

void say_ready(const Bundle &bundle, const Engine &engine) {
    WorkerMessage message = worker_message(WORKER_READY, 0);
    message.map_width = mode == "map" ? 1 << 30 : engine.map().width;
    message.map_height = engine.map().height;
    const std::string hash = mode == "bundle" ? std::string(64, '0') : bundle.manifest().sha256;
    copy_text(hash.c_str(), message.bundle_sha256, sizeof message.bundle_sha256);
    copy_text(mode == "version" ? "0.0.9" : CSFLOW_VERSION, message.text, sizeof message.text);
    send_message(kWorkerSocket, message);
}

} // namespace

int main(int, char **words) {
    mode = std::getenv("CSFLOW_ROGUE");
    const Bundle bundle(words[1]);
    const std::unique_ptr<Engine> engine = open_engine(bundle, {words[2], words[3], words[4]});
    const SharedFrame frame(kWorkerMemory, bundle.manifest().image_size);
    say_ready(bundle, *engine);
    WorkerMessage picture{};
    for (int pictures = 1; recv(kWorkerSocket, &picture, sizeof picture, 0) > 0; ++pictures) {
        const auto side = static_cast<std::size_t>(bundle.manifest().image_size);
        std::copy_n(frame.input(), side * side * 3, engine->input());
        WorkerMessage score = worker_message(WORKER_SCORE, picture.sequence);
        score.score = engine->infer();
        if (pictures <= kGolden || mode != "mapless") {
            std::copy_n(engine->map().values, engine->map().size(), frame.map());
        }
        if (pictures > kGolden) {
            end_badly();
            answer_badly(score, frame);
        } else {
            send_message(kWorkerSocket, score);
        }
    }
    return 0;
}
