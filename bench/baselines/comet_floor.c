// The floor of a push server: bare epoll that answers each request with a fixed head, and on
// SIGUSR2 a bare loop of send() over all its sockets. It reads no request but for one word,
// remembers descriptors only, knows no channels, and loses what a slow peer does not take: less is
// no server.
#include "epoll_listener.h"

enum { kTextMax = 32 * 1024 };

/// What a poll that has no place yet begins with: answered at once, where others wait.
static const char kNowhere[] = "since=0000000000000000.0";

/// Any place but that one, or a poll would begin again and again.
#define PLACE "0000000000000000.1"

struct Transport {
  const char* name;
  const char* answer;
  /// Around the number of the message, and around its data.
  const char* before;
  const char* between;
  const char* after;
};

static const struct Transport kTransports[] = {
    {"sse",
     "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
     "Connection: close\r\n\r\nid: " PLACE "\n\n",
     "id: 0000000000000000.",
     "\ndata: ",
     "\n\n"},
    {"stream",
     "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\n"
     "Connection: close\r\n\r\n"
     "{\"type\":\"subscribed\",\"cursor\":\"" PLACE "\",\"recovered\":true}\n",
     "{\"type\":\"message\",\"channel\":\"bench\",\"cursor\":\"0000000000000000.",
     "\",\"data\":\"",
     "\"}\n"},
    {"websocket",
     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
     "\x81\x44{\"type\":\"subscribed\",\"cursor\":\"" PLACE "\",\"recovered\":true}",
     "{\"type\":\"message\",\"channel\":\"bench\",\"cursor\":\"0000000000000000.",
     "\",\"data\":\"",
     "\"}"},
    {"poll",
     "HTTP/1.1 200 OK\r\nMegacomet-Cursor: " PLACE "\r\nContent-Type: application/json\r\n"
     "Content-Length: 63\r\nConnection: keep-alive\r\n\r\n"
     "{\"messages\":[],\"cursor\":\"" PLACE "\",\"recovered\":false}",
     "{\"messages\":[{\"channel\":\"bench\",\"cursor\":\"0000000000000000.",
     "\",\"data\":\"",
     "\"}],\"cursor\":\"" PLACE "\",\"recovered\":true}"},
};

static const struct Transport* transport;
static volatile sig_atomic_t wants_broadcast = 0;

/// Descriptors of the connections, and where each stands among them.
static int* peers;
static int* places;
static int peer_count = 0;
static int peer_room = 0;

static void on_signal(int number) {
  (void)number;
  wants_broadcast = 1;
}

static void accept_batch(struct Worker* worker) {
  for (int i = 0; i < kAcceptBatchMax; i++) {
    int fd = baseline_accept(worker);
    if (fd == kNobodyWaiting) return;
    if (fd == kNoRoom) {
      pause_listener(worker);
      return;
    }
    if (fd >= peer_room || !watch(fd)) {
      baseline_close(worker, fd);
      continue;
    }
    places[fd] = peer_count;
    peers[peer_count++] = fd;
  }
}

static void drop(struct Worker* worker, int fd) {
  int last = peers[--peer_count];
  peers[places[fd]] = last;
  places[last] = places[fd];
  baseline_close(worker, fd);
  if (listener_is_paused) resume_listener(worker);
}

/// Reads once, and answers; false when the connection must be closed.
static bool answer(int fd) {
  static char buffer[kBufferBytes];
  ssize_t size = recv(fd, buffer, sizeof(buffer), 0);
  if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EINTR);
  bool waits = strcmp(transport->name, "poll") == 0 &&
               memmem(buffer, (size_t)size, kNowhere, sizeof(kNowhere) - 1) == NULL;
  return waits || baseline_write(fd, transport->answer, strlen(transport->answer));
}

/// Writes one message as its transport sends it, and returns its size.
static size_t compose(const struct Worker* worker, char* text) {
  static long number = 0;
  static char body[kTextMax / 2 + 512];
  static char data[kTextMax / 2 + 1];
  size_t data_size = (size_t)worker->options->message_bytes;
  memset(data, 'x', data_size);
  data[data_size] = '\0';
  int size = snprintf(body,
                      sizeof(body),
                      "%s%ld%s%s%s",
                      transport->before,
                      ++number,
                      transport->between,
                      data,
                      transport->after);
  int head = 0;
  if (strcmp(transport->name, "poll") == 0) {
    head = snprintf(text,
                    kTextMax,
                    "HTTP/1.1 200 OK\r\nMegacomet-Cursor: 0000000000000000.%ld\r\n"
                    "Content-Type: application/json\r\nContent-Length: %d\r\n"
                    "Connection: keep-alive\r\n\r\n",
                    number,
                    size);
  } else if (strcmp(transport->name, "websocket") == 0) {
    text[head++] = '\x81';
    text[head++] = size < 126 ? (char)size : 126;
    if (size >= 126) text[head++] = (char)(size >> 8);
    if (size >= 126) text[head++] = (char)size;
  }
  memcpy(text + head, body, (size_t)size);
  return (size_t)head + (size_t)size;
}

static void broadcast(const struct Worker* worker) {
  static char text[kTextMax];
  wants_broadcast = 0;
  size_t size = compose(worker, text);
  for (int i = 0; i < peer_count; i++) send(peers[i], text, size, MSG_NOSIGNAL);
}

static void prepare(const struct Worker* worker) {
  for (size_t i = 0; i < sizeof(kTransports) / sizeof(kTransports[0]); i++) {
    const char* name = worker->options->transport;
    if (name != NULL && strcmp(kTransports[i].name, name) == 0) transport = &kTransports[i];
  }
  if (transport == NULL || worker->options->message_bytes == 0) {
    fprintf(stderr, "--transport and --message-bytes are needed\n");
    exit(EXIT_FAILURE);
  }
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) baseline_die("getrlimit");
  peer_room = (int)limit.rlim_cur;
  peers = calloc((size_t)peer_room, sizeof(int));
  places = calloc((size_t)peer_room, sizeof(int));
  if (peers == NULL || places == NULL) baseline_die("calloc");
  open_epoll();
}

static void serve(struct Worker* worker) {
  static struct epoll_event events[kEventsMax];
  prepare(worker);
  // The signal comes only while it waits, so that none is missed between a look and the wait.
  sigset_t blocked;
  sigset_t open;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  if (sigprocmask(SIG_BLOCK, &blocked, &open) != 0) baseline_die("sigprocmask");
  sigdelset(&open, SIGUSR2);
  struct sigaction action = {.sa_handler = on_signal};
  if (sigaction(SIGUSR2, &action, NULL) != 0) baseline_die("sigaction");
  resume_listener(worker);
  for (;;) {
    int count = epoll_pwait(epoll_fd, events, kEventsMax, -1, &open);
    if (count < 0 && errno != EINTR) baseline_die("epoll_pwait");
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == worker->listener) {
        accept_batch(worker);
      } else if (!answer(fd)) {
        drop(worker, fd);
      }
    }
    if (wants_broadcast) broadcast(worker);
  }
}

int main(int argc, char** argv) {
  return baseline_run(argc, argv, serve);
}
