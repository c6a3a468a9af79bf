// Preloaded into workers by test/comet/processes.ts. Reads two files in $TMPDIR, each for one
// worker: `die` has the signal or exit code that ends it in the middle of the next large write;
// `starve` has the number of allocations before memory is exhausted.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "syscall-shim.h"

enum { kSize = 2, kLargeBytes = 4000, kPathBytes = 512 };

// Allocations left until memory runs out. A worker sends from one thread, but all its threads
// allocate.
static volatile int is_starving;
static volatile int allocations_left;

// Removes a file and reads it, so that only one process gets it.
static int take(const char* name, char* text, size_t size) {
  char path[kPathBytes];
  char mine[kPathBytes];
  const char* folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/%s", folder, name);
  snprintf(mine, sizeof mine, "%s/%s-%d", folder, name, (int)getpid());
  if (access(path, F_OK) != 0 || rename(path, mine) != 0) return 0;
  const int fd = open(mine, O_RDONLY | O_CLOEXEC);
  const ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
  if (got < 0) _exit(99);
  text[got] = 0;
  close(fd);
  return 1;
}

static void end_as(const char* text) {
  int number = 0;
  if (sscanf(text, "exit %d", &number) == 1) exit(number);
  if (sscanf(text, "signal %d", &number) != 1) _exit(99);
  signal(number, SIG_DFL);
  raise(number);
}

long syscall(long number, ...) {
  READ_ARGUMENTS(a, number);
  char text[32];
  const int is_large = number == SYS_sendto && a[kSize] >= kLargeBytes;
  if (is_large && take("die", text, sizeof text)) {
    a[kSize] /= 2;
    real_syscall(number, a);
    end_as(text);
  }
  if (is_large && take("starve", text, sizeof text)) {
    allocations_left = atoi(text);
    is_starving = 1;
  }
  return real_syscall(number, a);
}

static int is_out_of_memory(void) {
  if (!is_starving || __sync_sub_and_fetch(&allocations_left, 1) >= 0) return 0;
  errno = ENOMEM;
  return 1;
}

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);

void* malloc(size_t size) {
  return is_out_of_memory() ? NULL : __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  return is_out_of_memory() ? NULL : __libc_calloc(count, size);
}

void* realloc(void* memory, size_t size) {
  return is_out_of_memory() ? NULL : __libc_realloc(memory, size);
}
