// A test program in TAP: TEST("a sentence") { … } registers, EXPECT(…) checks. No framework.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <sstream>
#include <string>

namespace unit {

using Body = void (*)();

/// Registers a test; TEST does it.
struct Registration {
  Registration(const char* name, Body body);
};

/// Counts a failed expectation of the current test. Prints only the first few of each test.
void fail(const char* file, int line, const std::string& what);

/// Runs every test whose name contains `wanted` and prints TAP. Returns the exit code.
int run_all(const char* wanted);

/// Random numbers: the same in each run, unless UNIT_SEED gives another seed.
std::mt19937_64& random();

/// A random number from 0 to `most`.
inline uint64_t upto(uint64_t most) {
  return std::uniform_int_distribution<uint64_t>(0, most)(random());
}

/// Runs the action in a child process. True if a failed MC_CHECK ended it, with its message and
/// SIGABRT.
bool aborts(const std::function<void()>& action);

/// Runs the action in a child process and returns its wait status.
int status_of_child(const std::function<void()>& action);

template <typename Left, typename Right>
bool expect_equal(
    const Left& found, const Right& wanted, const char* file, int line, const char* text) {
  if (found == wanted) return true;
  std::ostringstream what;
  what << text << ": found " << +found << ", wanted " << +wanted;
  fail(file, line, what.str());
  return false;
}

}  // namespace unit

#define UNIT_JOIN_(left, right) left##right
#define UNIT_JOIN(left, right) UNIT_JOIN_(left, right)
#define UNIT_TEST(name, function)                                                     \
  static void function();                                                             \
  static const unit::Registration UNIT_JOIN(function, _registration)(name, function); \
  static void function()

#define TEST(name) UNIT_TEST(name, UNIT_JOIN(test_at_line_, __LINE__))

/// Both return whether the expectation held, so that a test can stop: `if (!EXPECT(x)) return;`.
#define EXPECT(condition) ((condition) ? true : (unit::fail(__FILE__, __LINE__, #condition), false))
#define EXPECT_EQUAL(found, wanted) \
  unit::expect_equal((found), (wanted), __FILE__, __LINE__, #found)
