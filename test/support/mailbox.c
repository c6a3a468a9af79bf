// Receives the notifications of services like systemd: mailbox NAME binds a datagram socket, a path
// or @NAME, and prints each message as one line, its own lines joined by a blank.
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int count, char** words) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (count != 2 || strlen(words[1]) >= sizeof address.sun_path) return 2;
  strcpy(address.sun_path, words[1]);
  if (words[1][0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  const size_t bytes = offsetof(struct sockaddr_un, sun_path) + strlen(words[1]);
  if (bind(fd, (const struct sockaddr*)&address, (socklen_t)bytes) != 0) {
    perror(words[1]);
    return 1;
  }
  puts("bound");
  fflush(stdout);
  char text[4096];
  for (;;) {
    const ssize_t size = recv(fd, text, sizeof text - 1, 0);
    if (size < 0) return 1;
    text[size] = '\0';
    for (char* end = text; (end = strchr(end, '\n')) != NULL;) *end = ' ';
    puts(text);
    fflush(stdout);
  }
}
