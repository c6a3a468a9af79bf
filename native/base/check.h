// MC_CHECK: an assertion that is always on.
// A failed check is a bug in this program. It prints its line and aborts the process, and the
// manager starts another worker.
#pragma once

#include <cstdio>
#include <cstdlib>

#define MC_CHECK(condition)                                                                  \
  do {                                                                                       \
    if (__builtin_expect(!(condition), 0)) {                                                 \
      std::fprintf(                                                                          \
          stderr, "megacomet: check failed: %s at %s:%d\n", #condition, __FILE__, __LINE__); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (0)
