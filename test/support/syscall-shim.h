// Forwards the syscall() calls of a preloaded shim; the addon reads and writes through syscall().
#pragma once

#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/types.h>

enum { kArguments = 6 };

// The real function, with all arguments that any system call has.
static long real_syscall(long number, const long* a) {
  static long (*real)(long, ...);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "syscall");
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#define READ_ARGUMENTS(a, number)                                                 \
  long a[kArguments];                                                             \
  va_list list;                                                                   \
  va_start(list, number);                                                         \
  for (int index = 0; index < kArguments; ++index) a[index] = va_arg(list, long); \
  va_end(list)
