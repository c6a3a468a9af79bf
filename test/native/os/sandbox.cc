// Tests of the filter of system calls, each in a process of its own: a filter stays for good.
#include "os/sandbox.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/sys.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

bool is_forbidden(long result) {
  return result == -1 && errno == EPERM;
}

/// The count of a check in a process with the filter; 100 without a filter.
int count_filtered(int (*check)()) {
  const int status = unit::status_of_child([&] {
    sys::forbid_new_privileges();
    ::_exit(sandbox::isolate_from_processes() ? check() : 100);
  });
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int signals_to_others() {
  const pid_t parent = ::getppid();
  rlimit limit{};
  siginfo_t info{};
  info.si_code = SI_QUEUE;
  char byte = 0;
  iovec local{&byte, 1};
  int allowed = 0;
  for (const pid_t target : {parent, 0, -1, -::getpgrp()}) {
    allowed += is_forbidden(::kill(target, 0)) ? 0 : 1;
  }
  allowed += is_forbidden(::syscall(SYS_tgkill, parent, parent, 0)) ? 0 : 1;
  allowed += is_forbidden(::syscall(SYS_tkill, parent, 0)) ? 0 : 1;
  allowed += is_forbidden(::syscall(SYS_rt_sigqueueinfo, parent, 0, &info)) ? 0 : 1;
  allowed += is_forbidden(::syscall(SYS_prlimit64, parent, RLIMIT_CPU, nullptr, &limit)) ? 0 : 1;
  allowed += is_forbidden(::syscall(SYS_process_vm_readv, parent, &local, 1, &local, 1, 0)) ? 0 : 1;
  return allowed;
}

int signals_by_descriptors() {
  int ends[2];
  if (::pipe(ends) != 0) return 50;
  int allowed = 0;
  allowed += is_forbidden(::fcntl(ends[0], F_SETOWN, ::getppid())) ? 0 : 1;
  allowed += is_forbidden(::fcntl(ends[0], F_SETSIG, SIGKILL)) ? 0 : 1;
  return allowed;
}

int signals_of_older_thread() {
  const int status = unit::status_of_child([] {
    std::atomic<bool> is_filtered = false;
    int allowed = 0;
    std::thread older([&] {
      while (!is_filtered) std::this_thread::yield();
      allowed = signals_to_others();
    });
    sys::forbid_new_privileges();
    const bool is_done = sandbox::isolate_from_processes();
    is_filtered = true;
    older.join();
    ::_exit(is_done ? allowed : 100);
  });
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int own_work() {
  int faults = 0;
  rlimit limit{};
  faults += ::kill(::getpid(), 0) == 0 ? 0 : 1;
  faults += ::raise(SIGURG) == 0 ? 0 : 1;
  faults += ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : 1;
  faults += ::syscall(SYS_prlimit64, ::getpid(), RLIMIT_NOFILE, nullptr, &limit) == 0 ? 0 : 1;
  faults += ::fcntl(1, F_GETFL) >= 0 ? 0 : 1;
  return faults;
}

}  // namespace

TEST("a filtered process cannot signal, limit or read another one") {
  EXPECT_EQUAL(count_filtered(signals_to_others), 0);
}

TEST("neither can the kernel in its place, for a descriptor") {
  EXPECT_EQUAL(count_filtered(signals_by_descriptors), 0);
}

TEST("neither can a thread that was there before the filter") {
  EXPECT_EQUAL(signals_of_older_thread(), 0);
}

TEST("a filtered process can signal itself and read its own limits") {
  EXPECT_EQUAL(count_filtered(own_work), 0);
}
