// Tests of a whole worker in a child process: the manager's side is spoken here, without Node.
#include "worker/worker.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dialer/dial_worker.h"
#include "os/sys.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

/// A worker (or a dialer) in a child process with the descriptors that its contract names.
class Child {
 public:
  explicit Child(bool is_dialer = false) {
    EXPECT(segment_.create(2));
    std::fflush(stdout);
    pid_ = ::fork();
    if (pid_ != 0) return;
    // Its own copy of the peer's end must not keep the stream open.
    ::close(peer.fd());
    const int segment = ::fcntl(segment_.fd(), F_DUPFD, 20);
    const int listener = ::fcntl(socket.fd(), F_DUPFD, 20);
    ::dup2(segment, 4);
    ::dup2(listener, 5);
    // exit and not _exit: the sanitizer looks for leaks then.
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
    frame::Configure order;
    order.parent = static_cast<uint32_t>(::getpid());
    order.connections_max = connections_max;
    order.server_connections_max = 1000;
    order.protocol = "echo";
    order.listeners = {0};
    peer.send(order);
  }

  /// Waits for a frame of the type; its fields go to `out`.
  template <typename Frame>
  bool awaits(Frame* out) {
    for (int count = 0; count < 2500; ++count) {
      bool has_come = false;
      peer.receive([&](const FrameView& view) {
        has_come =
            has_come || (view.type == static_cast<uint8_t>(Frame::kType) && decode(view, out));
      });
      if (has_come) return true;
      ::usleep(2000);
    }
    return false;
  }

  /// What a file of its folder in /proc says.
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

bool echoes(const unit::Client& client) {
  client.write("x");
  for (int count = 0; count < 2500; ++count) {
    if (client.read_now() == "x") return true;
    ::usleep(2000);
  }
  return false;
}

}  // namespace

TEST("a worker serves as it is told, drains, says goodbye, and exits with 0") {
  Child worker;
  worker.configure();
  frame::Ready ready;
  if (!EXPECT(worker.awaits(&ready))) return;
  EXPECT_EQUAL(ready.connections_max, 100U);
  EXPECT_EQUAL(ready.layout, layout_hash());
  worker.peer.send(frame::Watch{0, 1});
  const unit::Client client(worker.socket.port());
  EXPECT(echoes(client));
  worker.peer.send(frame::Adjust{50, 1000, 30, 0});
  EXPECT(echoes(client));
  worker.peer.send(frame::Drain{100});
  frame::Goodbye goodbye;
  EXPECT(worker.awaits(&goodbye));
  EXPECT_EQUAL(goodbye.closed, 1U);
  EXPECT_EQUAL(worker.status(), 0);
  EXPECT(client.has_end());
}

TEST("a worker tells that it is crowded before it is full") {
  Child worker;
  worker.configure(2);
  frame::Ready ready;
  EXPECT(worker.awaits(&ready));
  worker.peer.send(frame::Watch{0, 1});
  const unit::Client one(worker.socket.port());
  const unit::Client other(worker.socket.port());
  frame::NearCapacity crowded;
  EXPECT(worker.awaits(&crowded));
  EXPECT_EQUAL(crowded.connections, 2U);
}

TEST("a worker whose manager is gone leaves with 0") {
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

TEST("a worker is the first that the kernel takes when memory runs out, and gains no privilege") {
  Child worker;
  worker.configure();
  frame::Ready ready;
  EXPECT(worker.awaits(&ready));
  EXPECT(worker.file("oom_score_adj") == "500\n");
  EXPECT(worker.file("status").find("NoNewPrivs:\t1\n") != std::string::npos);
}

TEST("a worker fails with 1 and a log line on orders that it does not understand") {
  const std::vector<std::vector<uint8_t>> orders = [] {
    std::vector<std::vector<uint8_t>> list(5);
    encode(frame::Adjust{1, 1, 1, 1}, &list[0]);
    encode(frame::Watch{0, 1}, &list[1]);
    encode(frame::Goodbye{1}, &list[2]);
    list[3] = {2, 0, 0, 0, 1, 9};
    list[4] = {1, 0, 0, 0, 200};
    return list;
  }();
  for (const auto& order : orders) {
    Child worker;
    worker.peer.write(order);
    frame::Log line;
    EXPECT(worker.awaits(&line));
    EXPECT_EQUAL(worker.status(), 1);
  }
}

TEST("a worker fails with 1 on a second configuration, a protocol, slot or ownership unknown") {
  for (const int fault : {0, 1, 2, 3}) {
    Child worker;
    frame::Configure order;
    order.parent = static_cast<uint32_t>(::getpid());
    order.protocol = fault == 1 ? "gopher" : "echo";
    order.slot = fault == 2 ? 2 : 0;
    if (fault == 3) order.listeners = {3};
    order.connections_max = order.server_connections_max = 10;
    worker.peer.send(order);
    if (fault == 0) worker.peer.send(order);
    frame::Log line;
    EXPECT(worker.awaits(&line));
    EXPECT_EQUAL(worker.status(), 1);
  }
}

TEST("a worker whose parent is another process than its orders say leaves at once with 0") {
  Child worker;
  frame::Configure order;
  order.parent = 1;
  order.protocol = "echo";
  worker.peer.send(order);
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

TEST("a dialer process is ready at once, dials as told, and leaves when its stream ends") {
  Child dialer(true);
  frame::Ready ready;
  EXPECT(dialer.awaits(&ready));
  frame::Dial order;
  order.parent = static_cast<uint32_t>(::getpid());
  order.connections = 5;
  order.connect_timeout_s = 5;
  order.targets = {"127.0.0.1 " + std::to_string(dialer.socket.port())};
  order.sources = {"127.0.0.1 0"};
  dialer.peer.send(order);
  frame::Progress progress;
  do {
    if (!EXPECT(dialer.awaits(&progress))) return;
  } while (progress.finished == 0);
  EXPECT_EQUAL(progress.opened, 5U);
  dialer.peer.hang_up();
  EXPECT_EQUAL(dialer.status(), 0);
}
