// The filter as a program for the kernel's packet filter. See sandbox.h.
#include "os/sandbox.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <vector>

#include <asm/sockios.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_SPEC_ALLOW
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW (1UL << 2)
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

namespace megacomet::sandbox {

namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kArchitecture = 0;
#endif

constexpr uint32_t kForbid = SECCOMP_RET_ERRNO | EPERM;
constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
/// Set in the numbers of x32, which the architecture of x86-64 includes.
constexpr uint32_t kX32Bit = 0x40000000;

constexpr uint32_t kForbiddenCalls[] = {
    SYS_tkill,
    SYS_pidfd_send_signal,
    SYS_pidfd_getfd,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
#ifndef __SANITIZE_ADDRESS__
    // AddressSanitizer's check for leaks traces the threads of its process.
    SYS_ptrace,
#endif
};

/// Calls that signal the process in their first argument.
constexpr uint32_t kSignalCalls[] = {
    SYS_kill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo};

/// The low half of an argument; both architectures are little-endian.
constexpr uint32_t argument(size_t index) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args) + index * sizeof(uint64_t));
}

/// A program for the packet filter, step by step; without an answer it allows the call.
class Filter {
 public:
  void load(uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, offset); }
  void answer(uint32_t action) { add(BPF_RET | BPF_K, action); }

  /// Skips steps unless the loaded value is `value`.
  void skip_unless(uint32_t value, uint8_t steps) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, steps);
  }
  void skip_if(uint32_t value, uint8_t steps) { add(BPF_JMP | BPF_JEQ | BPF_K, value, steps, 0); }
  void skip_if_below(uint32_t value, uint8_t steps) {
    add(BPF_JMP | BPF_JGE | BPF_K, value, 0, steps);
  }

  /// Answers a call by the value of one of its arguments.
  void decide(uint32_t call,
              size_t index,
              std::initializer_list<uint32_t> values,
              uint32_t if_listed,
              uint32_t otherwise) {
    skip_unless(call, static_cast<uint8_t>(2 + 2 * values.size()));
    load(argument(index));
    for (const uint32_t value : values) {
      skip_unless(value, 1);
      answer(if_listed);
    }
    answer(otherwise);
  }

  [[nodiscard]] bool install() {
    answer(kAllow);
    sock_fprog program{static_cast<unsigned short>(steps_.size()), steps_.data()};
    // Without SPEC_ALLOW, kernels before 5.16 slow down all code of a process with a filter.
    constexpr unsigned long kFlags[] = {SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                                        SECCOMP_FILTER_FLAG_TSYNC};
    return std::any_of(std::begin(kFlags), std::end(kFlags), [&](unsigned long flags) {
      return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0;
    });
  }

 private:
  void add(unsigned code, uint32_t value, uint8_t if_true = 0, uint8_t if_false = 0) {
    steps_.push_back({static_cast<uint16_t>(code), if_true, if_false, value});
  }

  std::vector<sock_filter> steps_;
};

}  // namespace

bool isolate_from_processes() {
  if (kArchitecture == 0) return false;
  const auto own = static_cast<uint32_t>(::getpid());
  Filter filter;
  // The calls of 32-bit programs have other numbers.
  filter.load(offsetof(seccomp_data, arch));
  filter.skip_if(kArchitecture, 1);
  filter.answer(kForbid);
  filter.load(offsetof(seccomp_data, nr));
  filter.skip_if_below(kX32Bit, 1);
  filter.answer(kForbid);
  for (const uint32_t call : kForbiddenCalls) {
    filter.skip_unless(call, 1);
    filter.answer(kForbid);
  }
  for (const uint32_t call : kSignalCalls) filter.decide(call, 0, {own}, kAllow, kForbid);
  // Process 0 is the caller.
  filter.decide(SYS_prlimit64, 0, {0, own}, kAllow, kForbid);
  // The kernel sends any signal to the owner of a descriptor.
  filter.decide(SYS_fcntl, 1, {F_SETOWN, F_SETOWN_EX, F_SETSIG}, kForbid, kAllow);
  filter.decide(SYS_ioctl, 1, {FIOSETOWN, SIOCSPGRP}, kForbid, kAllow);
  return filter.install();
}

}  // namespace megacomet::sandbox
