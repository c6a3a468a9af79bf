// Tests of a whole worker in a child process. The tests act as the manager, without Node.
#include "worker/worker.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dialer/dial_worker.h"
#include "ipc/load_frames.h"
#include "os/sys.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

/// A worker (or a dialer) in a child process, with the descriptors that run_worker() expects.
class Child {
 public:
  explicit Child(bool is_dialer = false) {
    EXPECT(segment_.create(1));
    const int made = segment_.renew(0);
    EXPECT(made >= 0 && segment_.grant(0, 1000) == 1000);
    std::fflush(stdout);
    pid_ = ::fork();
    if (pid_ != 0) return;
    // A copy of the manager's end in the child would keep the stream open.
    ::close(peer.fd());
    const int shared = ::fcntl(segment_.shared_fd(), F_DUPFD, 20);
    const int block = ::fcntl(made, F_DUPFD, 20);
    const int listener = ::fcntl(socket.fd(), F_DUPFD, 20);
    ::dup2(block, 4);
    ::dup2(shared, 5);
    ::dup2(listener, 6);
    // exit() and not _exit(), so that the sanitizer checks for leaks.
    std::exit(is_dialer ? run_dialer() : run_worker());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    (void)status();
  }

  void configure(uint32_t connections_max = 100) const {
    frame::Configure command;
    command.parent = static_cast<uint32_t>(::getpid());
    command.connections_max = connections_max;
    command.slots = 1;
    command.protocol = "echo";
    command.listeners = {0};
    command.listener_flags = {0};
    peer.send(command);
  }

  /// Waits for a frame of the type and decodes it into `out`.
  template <typename Frame>
  bool awaits(Frame* out) {
    for (int count = 0; count < 2500; ++count) {
      bool has_arrived = false;
      peer.receive([&](const FrameView& view) {
        has_arrived =
            has_arrived || (view.type == static_cast<uint8_t>(Frame::kType) && decode(view, out));
      });
      if (has_arrived) return true;
      ::usleep(2000);
    }
    return false;
  }

  /// The content of a file below /proc/PID.
  [[nodiscard]] std::string file(const std::string& name) const {
    std::ifstream stream("/proc/" + std::to_string(pid_) + "/" + name);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  /// Waits for the process to end and returns its exit code, -1 after a signal.
  int status() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  unit::ListeningSocket socket;
  unit::ControlPeer peer;

 private:
  Segment segment_;
  pid_t pid_ = -1;
};

/// Waits for a fact.
template <typename Fact>
bool becomes(const Fact& fact) {
  for (int count = 0; count < 2500; ++count) {
    if (fact()) return true;
    ::usleep(2000);
  }
  return false;
}

bool echoes(const unit::Client& client) {
  client.write("x");
  return becomes([&] { return client.read_now() == "x"; });
}

}  // namespace

TEST("a worker serves, drains, sends Goodbye, and exits with 0 when the manager hangs up") {
  Child worker;
  worker.configure();
  frame::Ready ready;
  if (!EXPECT(worker.awaits(&ready))) return;
  EXPECT_EQUAL(ready.connections_max, 100U);
  EXPECT_EQUAL(ready.layout, layout_hash());
  worker.peer.send(frame::Watch{0, 1});
  const unit::Client client(worker.socket.port());
  EXPECT(echoes(client));
  worker.peer.send(frame::Adjust{50, 30, 0});
  EXPECT(echoes(client));
  worker.peer.send(frame::Drain{100});
  frame::Goodbye goodbye;
  EXPECT(worker.awaits(&goodbye));
  EXPECT_EQUAL(goodbye.closed, 1U);
  worker.peer.hang_up();
  EXPECT_EQUAL(worker.status(), 0);
  EXPECT(client.has_end());
}

TEST("a worker that is cut off closes its clients, and serves again afterwards") {
  Child worker;
  worker.configure();
  frame::Ready ready;
  if (!EXPECT(worker.awaits(&ready))) return;
  worker.peer.send(frame::Watch{0, 1});
  const unit::Client client(worker.socket.port());
  EXPECT(echoes(client));
  worker.peer.send(frame::CutOff{1, 100});
  EXPECT(becomes([&] { return client.has_end(); }));
  worker.peer.send(frame::CutOff{0, 0});
  // A client that is faster than the frame is rejected.
  EXPECT(becomes([&] {
    const unit::Client next(worker.socket.port());
    next.write("x");
    ::usleep(20'000);
    return next.read_now() == "x";
  }));
  worker.peer.send(frame::CutOff{1, 60'000});
  worker.peer.send(frame::Drain{0});
  frame::Goodbye goodbye;
  EXPECT(worker.awaits(&goodbye));
  worker.peer.hang_up();
  EXPECT_EQUAL(worker.status(), 0);
}

TEST("a worker reports that it is near capacity") {
  Child worker;
  worker.configure(2);
  frame::Ready ready;
  EXPECT(worker.awaits(&ready));
  worker.peer.send(frame::Watch{0, 1});
  const unit::Client one(worker.socket.port());
  const unit::Client other(worker.socket.port());
  frame::CapacityChange near;
  EXPECT(worker.awaits(&near));
  EXPECT_EQUAL(near.connections, 2U);
}

TEST("a worker whose manager died exits with 0") {
  Child idle;
  idle.peer.hang_up();
  EXPECT_EQUAL(idle.status(), 0);
  Child serving;
  serving.configure();
  frame::Ready ready;
  EXPECT(serving.awaits(&ready));
  serving.peer.hang_up();
  EXPECT_EQUAL(serving.status(), 0);
}

TEST("a worker has a high out-of-memory score, and cannot gain privileges") {
  Child worker;
  worker.configure();
  frame::Ready ready;
  EXPECT(worker.awaits(&ready));
  EXPECT(worker.file("oom_score_adj") == "500\n");
  EXPECT(worker.file("status").find("NoNewPrivs:\t1\n") != std::string::npos);
}

TEST("a worker exits with 1 and a log line after an invalid or unexpected frame") {
  const std::vector<std::vector<uint8_t>> commands = [] {
    std::vector<std::vector<uint8_t>> list(5);
    encode(frame::Adjust{1, 1, 1}, &list[0]);
    encode(frame::Watch{0, 1}, &list[1]);
    encode(frame::Goodbye{1}, &list[2]);
    list[3] = {2, 0, 0, 0, 1, 9};
    list[4] = {1, 0, 0, 0, 200};
    return list;
  }();
  for (const auto& command : commands) {
    Child worker;
    worker.peer.write(command);
    frame::Log line;
    EXPECT(worker.awaits(&line));
    EXPECT_EQUAL(worker.status(), 1);
  }
}

TEST(
    "a worker exits with 1 after a second Configure, or a wrong protocol, number of slots or "
    "ownership") {
  for (const int fault : {0, 1, 2, 3}) {
    Child worker;
    frame::Configure command;
    command.parent = static_cast<uint32_t>(::getpid());
    command.protocol = fault == 1 ? "gopher" : "echo";
    command.slots = fault == 2 ? 0 : 1;
    if (fault == 3) command.listeners = {3};
    if (fault == 3) command.listener_flags = {0};
    command.connections_max = 10;
    worker.peer.send(command);
    if (fault == 0) worker.peer.send(command);
    frame::Log line;
    EXPECT(worker.awaits(&line));
    EXPECT_EQUAL(worker.status(), 1);
  }
}

TEST("a worker whose parent is not the one of its Configure frame exits with 0") {
  Child worker;
  frame::Configure command;
  command.parent = 1;
  command.protocol = "echo";
  worker.peer.send(command);
  EXPECT_EQUAL(worker.status(), 0);
}

TEST("a worker without a segment exits with 1") {
  const int status = unit::status_of_child([] {
    const unit::ControlPeer peer;
    const int nothing = ::open("/dev/null", O_RDWR);
    ::dup2(nothing, 4);
    std::exit(run_worker());
  });
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

TEST("a dialer sends Ready at once, dials, and exits when its stream ends") {
  Child dialer(true);
  frame::Ready ready;
  EXPECT(dialer.awaits(&ready));
  frame::Dial command;
  command.parent = static_cast<uint32_t>(::getpid());
  command.connections = 5;
  command.connect_timeout_s = 5;
  command.targets = {"127.0.0.1 " + std::to_string(dialer.socket.port())};
  command.sources = {"127.0.0.1 0"};
  dialer.peer.send(command);
  frame::Progress progress;
  do {
    if (!EXPECT(dialer.awaits(&progress))) return;
  } while (progress.finished == 0);
  EXPECT_EQUAL(progress.opened, 5U);
  dialer.peer.hang_up();
  EXPECT_EQUAL(dialer.status(), 0);
}
