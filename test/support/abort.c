// Preloaded: aborts a worker before its main(), if the file `abort` exists in $TMPDIR, and counts
// the starts in the file `starts` there. TMPDIR is among the few variables that workers inherit.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void start(int count, char** arguments) {
  char path[512];
  if (count < 1 || strcmp(arguments[0], "megacomet-worker") != 0) return;
  snprintf(path, sizeof path, "%s/starts", getenv("TMPDIR"));
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (fd < 0 || write(fd, "x", 1) != 1) _exit(99);
  close(fd);
  snprintf(path, sizeof path, "%s/abort", getenv("TMPDIR"));
  if (access(path, F_OK) == 0) abort();
}
