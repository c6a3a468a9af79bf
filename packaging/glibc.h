// Included before every file of a prebuilt addon. It binds functions to their oldest glibc version
// where a newer version behaves the same, and defines functions that an older library lacks, so
// that the addon loads wherever Node does.
#if defined(__x86_64__)
#define MC_FIRST_GLIBC "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define MC_FIRST_GLIBC "GLIBC_2.17"
#endif

// In 2.34 they moved from libdl to libc.
__asm__(".symver dlopen, dlopen@" MC_FIRST_GLIBC);
__asm__(".symver dlsym, dlsym@" MC_FIRST_GLIBC);

#ifdef __cplusplus
#include <bits/functexcept.h>

// The compiler's containers call it since GCC 11, and the oldest libstdc++ of Node has no such
// function: a size that no allocation can have ends as any other that memory cannot give.
namespace std {
[[noreturn, gnu::weak]] void __throw_bad_array_new_length() {
  __throw_bad_alloc();
}
}  // namespace std
#endif
