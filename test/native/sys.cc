// Tests of the system calls' closed results, where the other tests do not pass by.
#include "sys.h"

#include <cerrno>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "unit.h"

using namespace megacomet;
using sys::IoStatus;

TEST("reads and writes tell done, again, end and failure apart") {
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

TEST("accept tells an empty queue, a socket that was shut down, and one that is none") {
  const unit::ListeningSocket listener;
  EXPECT(sys::accept(listener.fd()).status == sys::AcceptStatus::kEmpty);
  sys::shut_down(listener.fd());
  EXPECT(sys::accept(listener.fd()).status == sys::AcceptStatus::kShutDown);
  EXPECT(sys::accept(-1).status == sys::AcceptStatus::kBroken);
}

TEST("memory that was given back reads as zero") {
  constexpr size_t kBytes = 1 << 20;
  auto* memory = static_cast<char*>(sys::reserve_memory(kBytes));
  if (!EXPECT(memory != nullptr)) return;
  memory[5000] = 1;
  sys::forget_pages(memory, kBytes);
  EXPECT_EQUAL(memory[5000], 0);
  sys::release_memory(memory, kBytes);
  EXPECT(sys::reserve_memory(SIZE_MAX / 2) == nullptr);
}

TEST("open descriptors are counted without the one that counts") {
  const uint32_t before = sys::open_descriptors();
  const int fd = sys::open_spare();
  EXPECT_EQUAL(sys::open_descriptors(), before + 1);
  sys::close(fd);
  EXPECT_EQUAL(sys::open_descriptors(), before);
}

TEST("a process that names the wrong parent is told so") {
  const auto parent = static_cast<uint32_t>(::getpid());
  const auto code_of = [](uint32_t named) {
    return unit::status_of_child([named] { ::_exit(sys::die_with_parent(named) ? 7 : 8); });
  };
  EXPECT_EQUAL(WEXITSTATUS(code_of(parent)), 7);
  EXPECT_EQUAL(WEXITSTATUS(code_of(1)), 8);
}

TEST("a larger descriptor table is prepared without a descriptor left open") {
  const int status = unit::status_of_child([] {
    const uint32_t before = sys::open_descriptors();
    sys::prepare_descriptor_table(1000);
    ::_exit(sys::open_descriptors() == before ? 0 : 1);
  });
  EXPECT_EQUAL(status, 0);
}
