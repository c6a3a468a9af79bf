// Shared by the C baseline servers: options, listeners, the manager that forks the workers, and the
// echo itself. Each server defines serve() with its own event loop.
#ifndef MEGACOMET_BENCH_BASELINE_H
#define MEGACOMET_BENCH_BASELINE_H

// Defined on the command line, because our include order puts system headers before this one.
#ifndef _GNU_SOURCE
#error "accept4() is a GNU declaration: compile with -D_GNU_SOURCE"
#endif

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  kAcceptBatchMax = 128,
  kWorkerCountMax = 1024,
  kBufferBytes = 64 * 1024,
  // A peer that reads nothing for this time is closed; until then it blocks its whole worker.
  kShortWriteWaitMs = 5000,
};

/// Results of baseline_accept() without a descriptor.
enum {
  kNoClient = -1,
  kFull = -2,
};

struct Options {
  const char* host;  // NULL: all addresses of both families, as for megacomet-ts.
  long port;
  long worker_count;
  long backlog;
  long connections_max;   // Of one worker; 0 leaves the limit to RLIMIT_NOFILE.
  const char* transport;  // Of comet_floor.c; the echo servers have none.
  long message_bytes;
};

struct Worker {
  const struct Options* options;
  int listener;
  long connections_now;
  long connections_max;
};

/// Serves the worker's listener and does not return.
typedef void ServeFunction(struct Worker* worker);

_Noreturn static inline void baseline_die(const char* what) {
  perror(what);
  _exit(EXIT_FAILURE);
}

static inline long baseline_number(const char* name, const char* text, long min, long max) {
  char* end = NULL;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno == 0 && end != text && *end == '\0' && value >= min && value <= max) return value;
  fprintf(stderr, "--%s %s: a whole number from %ld to %ld is needed\n", name, text, min, max);
  exit(EXIT_FAILURE);
}

static inline struct Options baseline_options(int argc, char** argv) {
  static const struct option kNames[] = {
      {"host", required_argument, NULL, 'h'},
      {"port", required_argument, NULL, 'p'},
      {"workers", required_argument, NULL, 'w'},
      {"backlog", required_argument, NULL, 'b'},
      {"connections-max", required_argument, NULL, 'c'},
      {"transport", required_argument, NULL, 't'},
      {"message-bytes", required_argument, NULL, 'm'},
      {NULL, 0, NULL, 0},
  };
  struct Options options = {.worker_count = 1, .backlog = 4096};
  int letter;
  while ((letter = getopt_long(argc, argv, "", kNames, NULL)) != -1) {
    switch (letter) {
      case 'h':
        options.host = optarg;
        break;
      case 'p':
        options.port = baseline_number("port", optarg, 1, 65535);
        break;
      case 'w':
        options.worker_count = baseline_number("workers", optarg, 1, kWorkerCountMax);
        break;
      case 'b':
        options.backlog = baseline_number("backlog", optarg, 1, 65535);
        break;
      case 'c':
        options.connections_max = baseline_number("connections-max", optarg, 0, INT32_MAX);
        break;
      case 't':
        options.transport = optarg;
        break;
      case 'm':
        options.message_bytes = baseline_number("message-bytes", optarg, 1, 16384);
        break;
      default:
        exit(EXIT_FAILURE);  // getopt_long() has printed the error.
    }
  }
  if (options.port == 0 || optind != argc) {
    fprintf(stderr,
            "usage: %s --port P [--host ADDRESS] [--workers W] [--backlog B] "
            "[--connections-max N] [--transport T] [--message-bytes M]\n",
            argv[0]);
    exit(EXIT_FAILURE);
  }
  return options;
}

/// Creates one listening socket, or returns -1 with errno if this machine lacks the address.
static inline int baseline_listen(const char* host, const struct Options* options) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
  struct addrinfo* address = NULL;
  char port[8];
  snprintf(port, sizeof(port), "%ld", options->port);
  if (getaddrinfo(host, port, &hints, &address) != 0) {
    fprintf(stderr, "--host %s: a numeric address is needed\n", host);
    exit(EXIT_FAILURE);
  }
  int on = 1;
  int off = 0;
  int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  // Accepted sockets inherit TCP_NODELAY, which saves a system call per connection.
  bool is_listening = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                      setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
                      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
                      (address->ai_family != AF_INET6 ||
                       setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) &&
                      bind(fd, address->ai_addr, address->ai_addrlen) == 0 &&
                      listen(fd, (int)options->backlog) == 0;
  freeaddrinfo(address);
  if (is_listening) return fd;
  int reason = errno;
  if (fd >= 0) close(fd);
  errno = reason;
  return -1;
}

/// Creates the listeners of all workers. Each has its own, so that the kernel distributes the
/// peers.
static inline void baseline_listen_all(const struct Options* options, int* listeners) {
  const char* host = options->host != NULL ? options->host : "::";
  for (long i = 0; i < options->worker_count; i++) {
    listeners[i] = baseline_listen(host, options);
    bool lacks_ipv6 = listeners[i] < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
    if (lacks_ipv6 && options->host == NULL) {
      host = "0.0.0.0";
      listeners[i] = baseline_listen(host, options);
    }
    if (listeners[i] < 0) baseline_die("listen");
  }
}

static inline void baseline_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) baseline_die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) baseline_die("setrlimit");
}

/// Forks the worker that owns listeners[index]; the others are closed in it.
static inline pid_t baseline_fork(const struct Options* options,
                                  const int* listeners,
                                  long index,
                                  const sigset_t* blocked,
                                  ServeFunction* serve) {
  pid_t manager = getpid();
  pid_t pid = fork();
  if (pid != 0) return pid;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) baseline_die("prctl");
  // If the manager died before prctl() took effect, no signal will arrive.
  if (getppid() != manager) _exit(EXIT_FAILURE);
  sigprocmask(SIG_UNBLOCK, blocked, NULL);
  // A listener in two processes would continue to fill its queue after its worker died. The manager
  // has closed those of earlier workers.
  for (long i = index + 1; i < options->worker_count; i++) close(listeners[i]);
  struct Worker worker = {
      .options = options,
      .listener = listeners[index],
      .connections_max = options->connections_max,
  };
  serve(&worker);
  _exit(EXIT_FAILURE);
}

static inline void baseline_kill_all(const pid_t* pids, long count) {
  for (long i = 0; i < count; i++) kill(pids[i], SIGKILL);
  while (wait(NULL) > 0 || errno == EINTR) {
  }
}

/// The body of main(): listens, forks, prints `ready PID...`, and runs until SIGTERM or SIGINT.
///
/// Fails if a worker dies, because results of the others would mislead.
static inline int baseline_run(int argc, char** argv, ServeFunction* serve) {
  static int listeners[kWorkerCountMax];
  static pid_t pids[kWorkerCountMax];
  struct Options options = baseline_options(argc, argv);
  baseline_raise_descriptor_limit();
  baseline_listen_all(&options, listeners);

  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGTERM);
  sigaddset(&awaited, SIGINT);
  sigaddset(&awaited, SIGCHLD);
  signal(SIGCHLD, SIG_DFL);
  sigprocmask(SIG_BLOCK, &awaited, NULL);

  for (long i = 0; i < options.worker_count; i++) {
    pids[i] = baseline_fork(&options, listeners, i, &awaited, serve);
    if (pids[i] < 0) {
      perror("fork");
      baseline_kill_all(pids, i);
      return EXIT_FAILURE;
    }
    close(listeners[i]);
  }
  // Printed after the last fork: a child would inherit a buffered line and print it again.
  printf("ready");
  for (long i = 0; i < options.worker_count; i++) printf(" %d", (int)pids[i]);
  printf("\n");
  fflush(stdout);

  int signal_number = 0;
  while (sigwait(&awaited, &signal_number) != 0) {
  }
  baseline_kill_all(pids, options.worker_count);
  if (signal_number != SIGCHLD) return EXIT_SUCCESS;
  fprintf(stderr, "a worker died\n");
  return EXIT_FAILURE;
}

/// Takes one peer from the queue: a descriptor, kNoClient or kFull.
///
/// After kFull the worker must not watch its listener: the rejected peer stays in the queue, and
/// a level-triggered watcher would spin on it. The worker watches it again after the next close. A
/// worker without connections would never watch it again, which is acceptable for a baseline.
static inline int baseline_accept(struct Worker* worker) {
  if (worker->connections_max > 0 && worker->connections_now >= worker->connections_max) {
    return kFull;
  }
  for (;;) {
    int fd = accept4(worker->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      worker->connections_now++;
      return fd;
    }
    switch (errno) {
      case EAGAIN:
        return kNoClient;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        return kFull;
      // An error of a peer before it was accepted concerns only that peer.
      case EINTR:
      case ECONNABORTED:
      case EPROTO:
      case ENETDOWN:
      case ENETUNREACH:
      case EHOSTDOWN:
      case EHOSTUNREACH:
      case ENONET:
      case ENOPROTOOPT:
        continue;
      default:
        baseline_die("accept4");
    }
  }
}

static inline void baseline_close(struct Worker* worker, int fd) {
  close(fd);
  worker->connections_now--;
}

/// Writes everything. Returns false if the connection must be closed.
///
/// Blocks for a peer that reads slowly. A queue would need state per connection, and the floor has
/// none by definition.
static inline bool baseline_write(int fd, const char* bytes, size_t size) {
  while (size > 0) {
    ssize_t written = send(fd, bytes, size, MSG_NOSIGNAL);
    if (written >= 0) {
      bytes += written;
      size -= (size_t)written;
    } else if (errno == EAGAIN) {
      struct pollfd writable = {.fd = fd, .events = POLLOUT};
      if (poll(&writable, 1, kShortWriteWaitMs) == 0) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

/// Reads once and echoes the bytes. Returns false if the connection must be closed.
static inline bool baseline_echo(int fd) {
  static char buffer[kBufferBytes];
  ssize_t size = recv(fd, buffer, sizeof(buffer), 0);
  if (size > 0) return baseline_write(fd, buffer, (size_t)size);
  return size < 0 && (errno == EAGAIN || errno == EINTR);
}

#endif
