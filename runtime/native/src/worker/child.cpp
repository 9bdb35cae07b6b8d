#include "worker/child.h"

#if defined(__linux__)

#include "bundle/files.h"
#include "worker/message.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace csflow {
namespace {

constexpr int kPidfd = 3;       // P_PIDFD, which older headers lack
constexpr int kBuryMs = 2000;   // a process inside a driver call cannot be ended, and must not hold up the host
constexpr int kLeastNumber = 10; // above all that is set in the child, so that no dup2 hits another's source

/// posix_spawn's two arguments.
class Spawn {
public:
    Spawn(int socket, int memory) {
        posix_spawn_file_actions_init(&files_);
        posix_spawn_file_actions_addopen(&files_, 0, "/dev/null", O_RDWR, 0);
        posix_spawn_file_actions_adddup2(&files_, 0, 1);
        posix_spawn_file_actions_adddup2(&files_, 0, 2);
        posix_spawn_file_actions_adddup2(&files_, socket, kWorkerSocket);
        posix_spawn_file_actions_adddup2(&files_, memory, kWorkerMemory);
        posix_spawnattr_init(&attributes_);
        sigset_t signals;
        sigemptyset(&signals);
        posix_spawnattr_setsigmask(&attributes_, &signals);
        sigfillset(&signals);
        posix_spawnattr_setsigdefault(&attributes_, &signals);
        // Ctrl-C at the host's terminal is the host's, and so is its real-time priority.
        posix_spawnattr_setpgroup(&attributes_, 0);
        const sched_param ordinary{};
        posix_spawnattr_setschedpolicy(&attributes_, SCHED_OTHER);
        posix_spawnattr_setschedparam(&attributes_, &ordinary);
        posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                   POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSCHEDULER);
    }
    ~Spawn() {
        posix_spawn_file_actions_destroy(&files_);
        posix_spawnattr_destroy(&attributes_);
    }
    Spawn(const Spawn &) = delete;
    Spawn &operator=(const Spawn &) = delete;

    pid_t run(const std::vector<std::string> &words) const {
        std::vector<char *> arguments;
        for (const std::string &word : words) {
            arguments.push_back(const_cast<char *>(word.c_str()));
        }
        arguments.push_back(nullptr);
        pid_t process = 0;
        const int error = posix_spawn(&process, words[0].c_str(), &files_, &attributes_, arguments.data(), environ);
        if (error != 0) {
            fail(CSFLOW_BACKEND_UNAVAILABLE, "cannot start %.200s: %s; install csflow-worker, or name it in "
                                             "CSFLOW_WORKER", words[0].c_str(), error_text(error).c_str());
        }
        return process;
    }

private:
    posix_spawn_file_actions_t files_;
    posix_spawnattr_t attributes_;
};

pid_t start(const WorkerLaunch &launch, int socket, int memory) {
    const Descriptor high_socket(fcntl(socket, F_DUPFD_CLOEXEC, kLeastNumber));
    const Descriptor high_memory(fcntl(memory, F_DUPFD_CLOEXEC, kLeastNumber));
    return Spawn(high_socket.get(), high_memory.get())
        .run({launch.program, launch.bundle, launch.engine.device, launch.engine.library, launch.engine.cache,
              std::to_string(getpid())});
}

const char *signal_name(int signal) noexcept {
    switch (signal) {
    case SIGABRT: return "SIGABRT";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGILL: return "SIGILL";
    case SIGKILL: return "SIGKILL";
    case SIGSEGV: return "SIGSEGV";
    case SIGTERM: return "SIGTERM";
    default: return "see signal(7)";
    }
}

} // namespace

WorkerChild::WorkerChild(const WorkerLaunch &launch, int socket, int memory)
    : process_(start(launch, socket, memory)), life_(static_cast<int>(syscall(SYS_pidfd_open, process_, 0))) {
    if (life_.get() < 0) {
        const std::string said = error_text(errno);
        ::kill(process_, SIGKILL);
        waitpid(process_, nullptr, 0);
        fail(CSFLOW_BACKEND_UNAVAILABLE, "cannot watch csflow-worker (%s): Linux 5.4 or newer is needed",
             said.c_str());
    }
}

WorkerChild::~WorkerChild() {
    char unread[64];
    kill();
    if (has_ended(kBuryMs)) {
        describe_end(unread, sizeof unread);
    }
}

void WorkerChild::kill() noexcept {
    // By the descriptor: the number may be another process's by now, where the host waits for every child.
    syscall(SYS_pidfd_send_signal, life_.get(), SIGKILL, nullptr, 0);
}

bool WorkerChild::has_ended(int limit_ms) const noexcept { return readable({life_.get(), -1, -1}, limit_ms)[0]; }

void WorkerChild::describe_end(char *text, std::size_t size) noexcept {
    siginfo_t end{};
    const auto which = static_cast<id_t>(life_.get());
    const bool known = !reaped_ && waitid(static_cast<idtype_t>(kPidfd), which, &end, WEXITED) == 0;
    reaped_ = true;
    if (!known) {
        std::snprintf(text, size, "ended; this program waits for every child, which hides how");
    } else if (end.si_code == CLD_EXITED) {
        std::snprintf(text, size, "ended with exit code %d", end.si_status);
    } else {
        std::snprintf(text, size, "was ended by signal %d (%s)", end.si_status, signal_name(end.si_status));
    }
}

} // namespace csflow

#endif
