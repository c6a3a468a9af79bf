// Preloaded: eventfd fails in a worker, as on a machine that ran out of files. Node's own eventfds,
// made at its start, still work.
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

int eventfd(unsigned count, int flags) {
  static int (*real)(unsigned, int);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "eventfd");
  if (strcmp(program_invocation_name, "megacomet-worker") != 0) return real(count, flags);
  errno = ENFILE;
  return -1;
}
