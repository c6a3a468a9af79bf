// The floor of a push server: bare epoll that answers each request with a fixed head, and on
// SIGUSR2 a bare loop of send() over all its sockets. It looks for one word in a request, stores
// only descriptors, has no channels, and drops the messages that a slow peer does not read. A
// server cannot do less.
#include "epoll_listener.h"

enum { kTextMax = 32 * 1024 };

/// The cursor of a first poll, which is answered at once; other polls wait.
static const char kNowhere[] = "since=0000000000000000.0";

/// Any other cursor. With the first one a poll would be answered at once again.
#define POSITION "0000000000000000.1"

struct Transport {
  const char* name;
  const char* answer;
  /// The text around the number of the message, and around its data.
  const char* before;
  const char* between;
  const char* after;
};

static const struct Transport kTransports[] = {
    {"sse",
     "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
     "Connection: close\r\n\r\nid: " POSITION "\n\n",
     "id: 0000000000000000.",
     "\ndata: ",
     "\n\n"},
    {"stream",
     "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\n"
     "Connection: close\r\n\r\n"
     "{\"type\":\"subscribed\",\"cursor\":\"" POSITION "\",\"recovered\":true}\n",
     "{\"type\":\"message\",\"channel\":\"bench\",\"cursor\":\"0000000000000000.",
     "\",\"data\":\"",
     "\"}\n"},
    {"websocket",
     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
     "\x81\x44{\"type\":\"subscribed\",\"cursor\":\"" POSITION "\",\"recovered\":true}",
     "{\"type\":\"message\",\"channel\":\"bench\",\"cursor\":\"0000000000000000.",
     "\",\"data\":\"",
     "\"}"},
    {"poll",
     "HTTP/1.1 200 OK\r\nMegacomet-Cursor: " POSITION "\r\nContent-Type: application/json\r\n"
     "Content-Length: 63\r\nConnection: keep-alive\r\n\r\n"
     "{\"messages\":[],\"cursor\":\"" POSITION "\",\"recovered\":false}",
     "{\"messages\":[{\"channel\":\"bench\",\"cursor\":\"0000000000000000.",
     "\",\"data\":\"",
     "\"}],\"cursor\":\"" POSITION "\",\"recovered\":true}"},
};

static const struct Transport* transport;
static volatile sig_atomic_t wants_broadcast = 0;

/// Descriptors of the connections, and the index of each in that list.
static int* peers;
static int* index_of;
static int peer_count = 0;
static int peer_capacity = 0;

static void on_signal(int number) {
  (void)number;
  wants_broadcast = 1;
}

static void accept_batch(struct Worker* worker) {
  for (int i = 0; i < kAcceptBatchMax; i++) {
    int fd = baseline_accept(worker);
    if (fd == kNoClient) return;
    if (fd == kFull) {
      pause_listener(worker);
      return;
    }
    if (fd >= peer_capacity || !watch(fd)) {
      baseline_close(worker, fd);
      continue;
    }
    index_of[fd] = peer_count;
    peers[peer_count++] = fd;
  }
}

static void drop(struct Worker* worker, int fd) {
  int last = peers[--peer_count];
  peers[index_of[fd]] = last;
  index_of[last] = index_of[fd];
  baseline_close(worker, fd);
  if (listener_is_paused) resume_listener(worker);
}

/// Reads once and responds. Returns false if the connection must be closed.
static bool answer(int fd) {
  static char buffer[kBufferBytes];
  ssize_t size = recv(fd, buffer, sizeof(buffer), 0);
  if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EINTR);
  bool waits = strcmp(transport->name, "poll") == 0 &&
               memmem(buffer, (size_t)size, kNowhere, sizeof(kNowhere) - 1) == NULL;
  return waits || baseline_write(fd, transport->answer, strlen(transport->answer));
}

/// Encodes one message for its transport, and returns its size.
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
  peer_capacity = (int)limit.rlim_cur;
  peers = calloc((size_t)peer_capacity, sizeof(int));
  index_of = calloc((size_t)peer_capacity, sizeof(int));
  if (peers == NULL || index_of == NULL) baseline_die("calloc");
  open_epoll();
}

static void serve(struct Worker* worker) {
  static struct epoll_event events[kEventsMax];
  prepare(worker);
  // The signal is unblocked only during the wait, so that none is lost before it.
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
