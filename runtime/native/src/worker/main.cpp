// csflow-worker: holds an engine for a libcsflow in another process, and ends with it.
#include "engine/engine.h"
#include "worker/message.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace csflow;

/// The kernel ends this process when the thread that started it ends.
bool ends_with_parent(const char *parent) {
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && std::to_string(getppid()) == parent;
}

// Cameras, sockets and files of the host, where it opened them without CLOEXEC.
void close_the_hosts_descriptors() {
    DIR *folder = opendir("/proc/self/fd");
    if (folder == nullptr) {
        return;
    }
    std::vector<int> foreign;
    while (const dirent *entry = readdir(folder)) {
        const int number = std::atoi(entry->d_name);
        if (number > kWorkerMemory && number != dirfd(folder)) {
            foreign.push_back(number);
        }
    }
    closedir(folder);
    std::for_each(foreign.begin(), foreign.end(), ::close);
}

/// Wait for the next picture. False: the host is gone.
bool next_picture(WorkerMessage &message) {
    ssize_t size = 0;
    do {
        size = recv(kWorkerSocket, &message, sizeof message, MSG_TRUNC);
    } while (size < 0 && errno == EINTR);
    return size == static_cast<ssize_t>(sizeof message) && message.kind == WORKER_PICTURE;
}

WorkerMessage ready(const Bundle &bundle, const Engine &engine) {
    WorkerMessage message = worker_message(WORKER_READY, 0);
    message.map_width = engine.map().width;
    message.map_height = engine.map().height;
    copy_text(bundle.manifest().sha256.c_str(), message.bundle_sha256, sizeof message.bundle_sha256);
    copy_text(CSFLOW_VERSION, message.text, sizeof message.text);
    return message;
}

void serve(char **words, std::uint64_t &sequence) {
    const Bundle bundle(words[1]);
    const std::unique_ptr<Engine> engine = open_engine(bundle, {words[2], words[3], words[4]});
    const std::int32_t side = bundle.manifest().image_size;
    const SharedFrame frame(kWorkerMemory, side);
    const std::size_t picture_bytes = static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * 3;
    engine->infer(); // what a back end does at its first picture must not count against that picture's deadline
    bool heard = send_message(kWorkerSocket, ready(bundle, *engine));
    WorkerMessage picture{};
    while (heard && next_picture(picture)) {
        sequence = picture.sequence;
        std::copy_n(frame.input(), picture_bytes, engine->input());
        WorkerMessage score = worker_message(WORKER_SCORE, sequence);
        score.score = engine->infer();
        std::copy_n(engine->map().values, engine->map().size(), frame.map());
        heard = send_message(kWorkerSocket, score);
    }
}

} // namespace

int main(int count, char **words) {
    if (count != 6) {
        std::fprintf(stderr, "csflow-worker is started by libcsflow, when a program opens the device worker\n");
        return 2;
    }
    if (!ends_with_parent(words[5])) {
        return EXIT_FAILURE;
    }
    close_the_hosts_descriptors();
    std::uint64_t sequence = 0;
    const csflow_status status = guarded([&] { serve(words, sequence); });
    if (status != CSFLOW_OK) {
        WorkerMessage failure = worker_message(WORKER_FAILURE, sequence);
        failure.status = status;
        copy_text(stored_error(), failure.text, sizeof failure.text);
        send_message(kWorkerSocket, failure);
    }
    // No destructors: a back end whose device is lost may hang in them.
    _exit(status == CSFLOW_OK ? EXIT_SUCCESS : kWorkerFailed);
}
