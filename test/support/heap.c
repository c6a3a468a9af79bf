// Counts heap allocations between accepts; preloaded into a worker by test/server/heap.ts.
// Writes "accepts allocations" to the file heap-PID in $TMPDIR after every 500th accept.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kReportEvery = 500 };

// Counts only the accepting thread, because Node's helper threads also allocate.
static __thread unsigned long allocations;
static unsigned long accepts;
static unsigned long allocations_between;

extern void* __libc_malloc(size_t size);
extern void* __libc_calloc(size_t count, size_t size);
extern void* __libc_realloc(void* memory, size_t size);

void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}

void* realloc(void* memory, size_t size) {
  ++allocations;
  return __libc_realloc(memory, size);
}

static void report(void) {
  const char* folder = getenv("TMPDIR");
  char path[4096];
  snprintf(path, sizeof path, "%s/heap-%d", folder == NULL ? "/tmp" : folder, (int)getpid());
  FILE* file = fopen(path, "w");
  if (file == NULL) return;
  fprintf(file, "%lu %lu\n", accepts, allocations_between);
  fclose(file);
}

int accept4(int listener, struct sockaddr* address, socklen_t* length, int flags) {
  static int (*real)(int, struct sockaddr*, socklen_t*, int);
  if (real == NULL)
    real = (int (*)(int, struct sockaddr*, socklen_t*, int))dlsym(RTLD_NEXT, "accept4");
  // Adds the allocations after the previous accept, except at the first accept.
  if (accepts > 0) allocations_between += allocations;
  const int fd = real(listener, address, length, flags);
  if (fd >= 0 && ++accepts % kReportEvery == 0) report();
  allocations = 0;
  return fd;
}
