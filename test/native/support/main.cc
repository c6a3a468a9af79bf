// Runs every registered test and prints TAP. With an argument, runs only the tests whose names
// contain it.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/sys.h"
#include "support/unit.h"

namespace unit {

namespace {

constexpr int kFailuresShown = 5;
constexpr uint64_t kSeed = 20'240'101;

struct Test {
  const char* name;
  Body body;
};

std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

int failures_of_test = 0;

uint64_t seed() {
  const char* text = std::getenv("UNIT_SEED");
  return text == nullptr ? kSeed : std::strtoull(text, nullptr, 10);
}

bool run(size_t number, const Test& test) {
  failures_of_test = 0;
  // Each test begins with the same random numbers, whichever other tests run.
  random().seed(seed());
  test.body();
  std::printf("%s %zu - %s\n", failures_of_test == 0 ? "ok" : "not ok", number, test.name);
  std::fflush(stdout);
  return failures_of_test == 0;
}

}  // namespace

Registration::Registration(const char* name, Body body) {
  tests().push_back({name, body});
}

void fail(const char* file, int line, const std::string& what) {
  if (++failures_of_test > kFailuresShown) return;
  std::printf("# %s:%d: %s\n", file, line, what.c_str());
}

std::mt19937_64& random() {
  static std::mt19937_64 source(seed());
  return source;
}

int status_of_child(const std::function<void()>& action) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    action();
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) != child) {
  }
  return status;
}

bool aborts(const std::function<void()>& action) {
  int ends[2];
  if (::pipe(ends) != 0) return false;
  const int status = status_of_child([&] {
    ::dup2(ends[1], STDERR_FILENO);
    action();
  });
  ::close(ends[1]);
  char said[4096] = {};
  const ssize_t size = ::read(ends[0], said, sizeof said - 1);
  ::close(ends[0]);
  const bool is_ours = size > 0 && std::strstr(said, "megacomet: check failed: ") != nullptr;
  return is_ours && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

int run_all(const char* wanted) {
  std::vector<Test> chosen;
  for (const Test& test : tests()) {
    if (std::strstr(test.name, wanted) != nullptr) chosen.push_back(test);
  }
  std::printf("TAP version 14\n1..%zu\n# seed %llu\n",
              chosen.size(),
              static_cast<unsigned long long>(seed()));
  size_t number = 0;
  size_t failed = 0;
  for (const Test& test : chosen) {
    if (!run(++number, test)) ++failed;
  }
  std::printf("# %zu passed, %zu failed\n", chosen.size() - failed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace unit

#ifndef UNIT_IN_NODE
int main(int argc, char** argv) {
  megacomet::sys::raise_descriptor_limit();
  ::signal(SIGPIPE, SIG_IGN);
  // Descriptor 3 is reserved for the control stream: no other descriptor may have that number.
  const int holder = ::open("/dev/null", O_RDWR);
  if (holder != 3) ::dup2(holder, 3);
  return unit::run_all(argc > 1 ? argv[1] : "");
}
#else
#include <node_api.h>

/// Node's process loads the tests as an addon, because they need its OpenSSL.
NAPI_MODULE_INIT() {
  static_cast<void>(env);
  const int code = unit::run_all("");
  std::fflush(stdout);
  std::_Exit(code);
  return exports;
}
#endif
