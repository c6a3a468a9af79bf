// Tests of the closed results of system calls that the other tests do not cover.
#include "os/sys.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;
using sys::IoStatus;

namespace {

/// A datagram socket with a name for send_datagram().
class Mailbox {
 public:
  explicit Mailbox(const std::string& name) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path, name.data(), name.size());
    if (name[0] == '@') local.sun_path[0] = '\0';
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQUAL(::bind(fd_, reinterpret_cast<const sockaddr*>(&local), bytes), 0);
  }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox() { ::close(fd_); }

  /// The next message; empty if there is none.
  [[nodiscard]] std::string take() const {
    char text[256];
    const ssize_t bytes = ::recv(fd_, text, sizeof text, 0);
    return {text, bytes > 0 ? static_cast<size_t>(bytes) : 0};
  }

 private:
  int fd_;
};

int oom_score() {
  int score = 0;
  std::ifstream("/proc/self/oom_score_adj") >> score;
  return score;
}

timespec wall() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

}  // namespace

TEST("reads and writes distinguish done, again, end and failure") {
  int ends[2];
  EXPECT_EQUAL(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  char byte = 'x';
  EXPECT(sys::receive(ends[0], &byte, 1).status == IoStatus::kAgain);
  EXPECT(sys::send(ends[1], &byte, 1).status == IoStatus::kDone);
  EXPECT_EQUAL(sys::receive(ends[0], &byte, 1).bytes, 1U);
  const std::string much(10 << 20, 'x');
  const sys::IoResult cut = sys::send(ends[1], much.data(), much.size());
  EXPECT(cut.status == IoStatus::kDone && cut.bytes < much.size());
  EXPECT(sys::write_stream(ends[1], &byte, 1).status == IoStatus::kAgain);
  sys::close(ends[1]);
  std::string sink(much.size(), ' ');
  while (sys::read_stream(ends[0], sink.data(), sink.size()).status == IoStatus::kDone) {
  }
  EXPECT(sys::receive(ends[0], &byte, 1).status == IoStatus::kEnd);
  EXPECT_EQUAL(sys::send(ends[0], &byte, 1).error, EPIPE);
  sys::close(ends[0]);
  EXPECT_EQUAL(sys::receive(-1, &byte, 1).error, EBADF);
}

TEST("parts arrive in order, copied into one buffer if they are few bytes, or not") {
  int ends[2];
  EXPECT_EQUAL(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  for (const size_t last : {0, 1, 1018, 1019, 1020, 5000}) {
    std::string texts[] = {"abc", "", "de", std::string(last, 'z')};
    iovec parts[std::size(texts)];
    std::string wanted;
    for (size_t at = 0; at < std::size(texts); ++at) {
      parts[at] = {texts[at].data(), texts[at].size()};
      wanted.append(texts[at]);
    }
    const sys::IoResult sent = sys::send_parts(ends[0], parts, std::size(parts));
    EXPECT(sent.status == IoStatus::kDone);
    EXPECT_EQUAL(sent.bytes, wanted.size());
    std::string came(wanted.size() + 1, '\0');
    came.resize(sys::receive(ends[1], came.data(), came.size()).bytes);
    EXPECT(came == wanted);
  }
  ::close(ends[1]);
  iovec one = {const_cast<char*>("x"), 1};
  EXPECT_EQUAL(sys::send_parts(ends[0], &one, 1).error, EPIPE);
  ::close(ends[0]);
}

TEST(
    "accept distinguishes an empty queue, a shut down socket, and a descriptor that is not a "
    "socket") {
  const unit::ListeningSocket listener;
  EXPECT(sys::accept(listener.fd()).status == sys::AcceptStatus::kEmpty);
  sys::shut_down(listener.fd());
  EXPECT(sys::accept(listener.fd()).status == sys::AcceptStatus::kShutDown);
  EXPECT(sys::accept(-1).status == sys::AcceptStatus::kBroken);
}

TEST("released pages read as zero") {
  constexpr size_t kBytes = 1 << 20;
  auto* memory = static_cast<char*>(sys::reserve_memory(kBytes));
  if (!EXPECT(memory != nullptr)) return;
  memory[5000] = 1;
  sys::forget_pages(memory, kBytes);
  EXPECT_EQUAL(memory[5000], 0);
  sys::release_memory(memory, kBytes);
  EXPECT(sys::reserve_memory(SIZE_MAX / 2) == nullptr);
}

TEST("the count of open descriptors does not include the one used for counting") {
  const uint32_t before = sys::open_descriptors();
  const int fd = sys::open_spare();
  EXPECT_EQUAL(sys::open_descriptors(), before + 1);
  sys::close(fd);
  EXPECT_EQUAL(sys::open_descriptors(), before);
}

TEST("die_with_parent() fails for a process that is not the parent") {
  const auto parent = static_cast<uint32_t>(::getpid());
  const auto code_of = [](uint32_t named) {
    return unit::status_of_child([named] { ::_exit(sys::die_with_parent(named) ? 7 : 8); });
  };
  EXPECT_EQUAL(WEXITSTATUS(code_of(parent)), 7);
  EXPECT_EQUAL(WEXITSTATUS(code_of(1)), 8);
}

TEST("the descriptor table grows without leaving a descriptor open") {
  const int status = unit::status_of_child([] {
    const uint32_t before = sys::open_descriptors();
    sys::prepare_descriptor_table(1000);
    ::_exit(sys::open_descriptors() == before ? 0 : 1);
  });
  EXPECT_EQUAL(status, 0);
}

TEST("a datagram reaches a path and an abstract name, and sending never blocks") {
  const std::string path = "/tmp/megacomet-mailbox-" + std::to_string(::getpid());
  for (const std::string& name : {path, std::string("@megacomet mailbox")}) {
    const Mailbox mailbox(name);
    EXPECT_EQUAL(sys::send_datagram(name, "READY=1\nSTATUS=fine"), 0);
    EXPECT(mailbox.take() == "READY=1\nSTATUS=fine");
    // Without a reader the queue becomes full.
    int error = 0;
    for (int count = 0; count < 10'000 && error == 0; ++count) {
      error = sys::send_datagram(name, "WATCHDOG=1");
    }
    EXPECT_EQUAL(error, EAGAIN);
  }
  EXPECT_EQUAL(sys::send_datagram(path, "x"), ECONNREFUSED);
  ::unlink(path.c_str());
  EXPECT_EQUAL(sys::send_datagram(path, "x"), ENOENT);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{108}, size_t{5000}}) {
    EXPECT_EQUAL(sys::send_datagram(std::string(size, '@'), "x"), EINVAL);
  }
}

TEST("the out-of-memory score of a process is raised and never lowered") {
  const int status = unit::status_of_child([] {
    const int before = oom_score();
    const bool is_raised = sys::raise_oom_score(before + 100) && oom_score() == before + 100;
    const bool stays = sys::raise_oom_score(before) && oom_score() == before + 100;
    ::_exit(is_raised && stays && !sys::raise_oom_score(5000) ? 0 : 1);
  });
  EXPECT_EQUAL(status, 0);
}

TEST("a process without capabilities has no inheritable ones either") {
  const int status = unit::status_of_child([] {
    if (!sys::drop_capabilities()) ::_exit(1);
    std::ifstream stream("/proc/self/status");
    std::string field;
    std::string value;
    int empty = 0;
    while (stream >> field >> value) {
      if (field == "CapInh:" || field == "CapPrm:" || field == "CapEff:" || field == "CapAmb:") {
        if (value.find_first_not_of('0') != std::string::npos) ::_exit(2);
        ++empty;
      }
      std::getline(stream, value);
    }
    ::_exit(empty == 4 && sys::drop_capabilities() ? 0 : 3);
  });
  EXPECT_EQUAL(status, 0);
}

TEST("a second of the wall clock begins at its first microsecond") {
  // A peer on this machine may use a token in the moment in which it was issued.
  const time_t second = wall().tv_sec;
  timespec now = wall();
  while (now.tv_sec == second) now = wall();
  EXPECT_EQUAL(sys::wall_s(), static_cast<uint64_t>(now.tv_sec));
}
