// Tests of the token bucket: its limit, its slowest rates, its waits, changed rates.
#include "base/token_bucket.h"

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kNsPerSecond = 1'000'000'000;

/// The most events in a time: rate × time and the burst, which is at least one.
long double bound(uint32_t rate_milli, uint64_t elapsed_ns) {
  const long double per_second = rate_milli / 1000.0L;
  const long double burst = std::max(1.0L, per_second / 10);
  return per_second * (static_cast<long double>(elapsed_ns) / kNsPerSecond) + burst + 1e-6L;
}

}  // namespace

TEST("a token bucket never admits more than its rate times the time, and one burst") {
  for (int round = 0; round < 300; ++round) {
    const auto rate_milli =
        static_cast<uint32_t>((unit::random()() & UINT32_MAX) >> unit::upto(31));
    if (rate_milli == 0) continue;
    TokenBucket tokens;
    tokens.set_rate(rate_milli);
    const uint64_t start_ns = unit::upto(100'000 * kNsPerSecond);
    uint64_t now_ns = start_ns;
    uint64_t admitted = 0;
    for (int count = 0; count < 3000; ++count) {
      if (unit::upto(3) == 0) now_ns += unit::upto(uint64_t{1} << unit::upto(36));
      if (tokens.take(now_ns)) ++admitted;
      if (!EXPECT(admitted <= bound(rate_milli, now_ns - start_ns))) return;
    }
  }
}

TEST("a token bucket of less than one event a second admits at its rate") {
  for (const uint32_t rate_milli : {1U, 100U, 333U, 999U}) {
    TokenBucket tokens;
    tokens.set_rate(rate_milli);
    uint64_t admitted = 0;
    const uint64_t start_ns = 5 * kNsPerSecond;
    const uint64_t seconds = 10'000;
    // Every ten milliseconds, as a worker does.
    for (uint64_t ms = 0; ms < seconds * 1000; ms += 10) {
      if (tokens.take(start_ns + ms * kNsPerMs)) ++admitted;
    }
    const uint64_t wanted = seconds * rate_milli / 1000;
    // A token that arrives between two calls is taken by the next one, so the bound is not exact.
    EXPECT(admitted >= wanted * 98 / 100 && admitted <= wanted + 1);
  }
}

TEST("a token bucket has a token after wait_ms(), and not much earlier") {
  for (int round = 0; round < 5000; ++round) {
    TokenBucket tokens;
    const auto rate_milli = static_cast<uint32_t>(1 + (unit::upto(1'000'000) >> unit::upto(19)));
    tokens.set_rate(rate_milli);
    uint64_t now_ns = kNsPerSecond + unit::upto(kNsPerSecond);
    while (tokens.take(now_ns)) {
    }
    const uint32_t wait_ms = tokens.wait_ms();
    if (!EXPECT(wait_ms > 0)) return;
    if (wait_ms > 1) {
      TokenBucket early = tokens;
      EXPECT(!early.take(now_ns + (wait_ms - 1) * kNsPerMs - kNsPerMs / 2));
    }
    now_ns += wait_ms * kNsPerMs;
    if (!EXPECT(tokens.take(now_ns))) return;
  }
}

TEST("a token bucket without a rate admits everything and never waits") {
  TokenBucket tokens;
  for (int count = 0; count < 100'000; ++count) EXPECT(tokens.take(1));
  EXPECT_EQUAL(tokens.wait_ms(), 0U);
  tokens.give_back();
  EXPECT(tokens.take(1));
}

TEST("a returned token can be taken again, up to one burst") {
  TokenBucket tokens;
  tokens.set_rate(20'000);
  const uint64_t now_ns = kNsPerSecond;
  EXPECT(tokens.take(now_ns));
  EXPECT(tokens.take(now_ns));
  EXPECT(!tokens.take(now_ns));
  tokens.give_back();
  EXPECT(tokens.take(now_ns));
  for (int count = 0; count < 10; ++count) tokens.give_back();
  EXPECT(tokens.take(now_ns));
  EXPECT(tokens.take(now_ns));
  EXPECT(!tokens.take(now_ns));
}

TEST("a token bucket gets no tokens for a changed or repeated rate") {
  TokenBucket tokens;
  tokens.set_rate(10'000);
  const uint64_t now_ns = kNsPerSecond;
  EXPECT(tokens.take(now_ns));
  tokens.set_rate(10'000);
  EXPECT(!tokens.take(now_ns));
  tokens.set_rate(5000);
  EXPECT(!tokens.take(now_ns));
  EXPECT(tokens.take(now_ns + kNsPerSecond));
}

TEST("a token bucket whose rate falls keeps at most the smaller burst") {
  TokenBucket tokens;
  tokens.set_rate(1'000'000);
  const uint64_t now_ns = kNsPerSecond;
  EXPECT(tokens.take(now_ns));
  tokens.set_rate(10'000);
  EXPECT(tokens.take(now_ns));
  EXPECT(!tokens.take(now_ns));
}
