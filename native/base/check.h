// MC_CHECK: an assertion that is always on.
// A failed check is a bug of ours: it says where, aborts, and the manager survives and restarts.
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
