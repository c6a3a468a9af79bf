// Both forms of the compression function. See sha1.h.
#include "codec/sha1.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace megacomet {

namespace {

constexpr uint32_t rotate_left(uint32_t word, int bits) {
  return word << bits | word >> (32 - bits);
}

uint32_t load_big_endian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

/// One of the four functions of FIPS 180-4 4.1.1, with its constant (4.2.1).
struct Choose {
  static constexpr uint32_t kConstant = 0x5a827999;
  static constexpr uint32_t mix(uint32_t b, uint32_t c, uint32_t d) { return d ^ (b & (c ^ d)); }
};
struct FirstParity {
  static constexpr uint32_t kConstant = 0x6ed9eba1;
  static constexpr uint32_t mix(uint32_t b, uint32_t c, uint32_t d) { return b ^ c ^ d; }
};
struct Majority {
  static constexpr uint32_t kConstant = 0x8f1bbcdc;
  static constexpr uint32_t mix(uint32_t b, uint32_t c, uint32_t d) {
    return (b & c) | (d & (b | c));
  }
};
struct LastParity : FirstParity {
  static constexpr uint32_t kConstant = 0xca62c1d6;
};

/// A round of FIPS 180-4 6.1.2. The next round has the same words, rotated by one name, so that
/// none is moved.
template <typename Function>
void round(uint32_t a, uint32_t* b, uint32_t c, uint32_t d, uint32_t* e, uint32_t scheduled) {
  *e += rotate_left(a, 5) + Function::mix(*b, c, d) + Function::kConstant + scheduled;
  *b = rotate_left(*b, 30);
}

/// The message schedule of FIPS 180-4 6.1.2, computed word by word on demand. gcc 12 vectorizes a
/// loop that computes all eighty words first, and each step then waits for the stores of the
/// previous one: 570 ns instead of 210 ns for the two blocks of a handshake.
class Schedule {
 public:
  explicit Schedule(const uint8_t* block) {
    for (size_t t = 0; t < kWords; ++t) words_[t] = load_big_endian(block + 4 * t);
  }

  /// The word of round `t`. Call it once per round, in order.
  uint32_t word(size_t t) {
    uint32_t& slot = words_[t % kWords];
    if (t < kWords) return slot;
    slot = rotate_left(at(t - 3) ^ at(t - 8) ^ at(t - 14) ^ slot, 1);
    return slot;
  }

 private:
  static constexpr size_t kWords = kSha1BlockBytes / 4;

  [[nodiscard]] uint32_t at(size_t t) const { return words_[t % kWords]; }

  uint32_t words_[kWords];
};

/// The twenty rounds of one function, from `first`.
template <typename Function>
void run_twenty(Sha1Words* words, Schedule* schedule, size_t first) {
  auto [a, b, c, d, e] = *words;
  for (size_t t = first; t < first + 20; t += 5) {
    round<Function>(a, &b, c, d, &e, schedule->word(t));
    round<Function>(e, &a, b, c, &d, schedule->word(t + 1));
    round<Function>(d, &e, a, b, &c, schedule->word(t + 2));
    round<Function>(c, &d, e, a, &b, schedule->word(t + 3));
    round<Function>(b, &c, d, e, &a, schedule->word(t + 4));
  }
  *words = {a, b, c, d, e};
}

#if defined(__x86_64__)

/// Enables the instructions for the next functions, independent of the compiler flags.
#define MC_SHA __attribute__((target("sha,sse4.1")))

/// Four words, the first in the highest lane, as the instructions require.
MC_SHA __m128i load_four(const uint8_t* bytes) {
  const __m128i reversed = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)), reversed);
}

/// The state between groups of four rounds.
struct Lanes {
  __m128i abcd;
  /// `abcd` of four rounds before: its first word, rotated, is the next `e`.
  __m128i before;
  /// The last sixteen words of the schedule, a ring of four.
  __m128i words[4];
};

/// The schedule words of group `group` of four rounds, from the previous ones.
MC_SHA __m128i scheduled(Lanes* lanes, size_t group) {
  __m128i& slot = lanes->words[group % 4];
  if (group < 4) return slot;
  const __m128i sum = _mm_sha1msg1_epu32(slot, lanes->words[(group + 1) % 4]);
  slot = _mm_sha1msg2_epu32(_mm_xor_si128(sum, lanes->words[(group + 2) % 4]),
                            lanes->words[(group + 3) % 4]);
  return slot;
}

/// The twenty rounds of one function, four at a time; `Function` counts from 0.
template <int Function>
MC_SHA void run_twenty_by_four(Lanes* lanes, __m128i first_e) {
  for (size_t group = size_t{Function} * 5; group < size_t{Function} * 5 + 5; ++group) {
    const __m128i words = scheduled(lanes, group);
    const __m128i e =
        group == 0 ? _mm_add_epi32(first_e, words) : _mm_sha1nexte_epu32(lanes->before, words);
    lanes->before = lanes->abcd;
    lanes->abcd = _mm_sha1rnds4_epu32(lanes->abcd, e, Function);
  }
}

MC_SHA void add_block_by_instructions(Sha1Words* hash, const uint8_t* block) {
  const auto word = [hash](size_t at) { return static_cast<int>((*hash)[at]); };
  const __m128i abcd = _mm_set_epi32(word(0), word(1), word(2), word(3));
  const __m128i e = _mm_set_epi32(word(4), 0, 0, 0);
  Lanes lanes = {abcd, abcd, {}};
  for (size_t at = 0; at < 4; ++at) lanes.words[at] = load_four(block + 16 * at);
  run_twenty_by_four<0>(&lanes, e);
  run_twenty_by_four<1>(&lanes, e);
  run_twenty_by_four<2>(&lanes, e);
  run_twenty_by_four<3>(&lanes, e);
  const __m128i sum = _mm_add_epi32(lanes.abcd, abcd);
  (*hash)[0] = static_cast<uint32_t>(_mm_extract_epi32(sum, 3));
  (*hash)[1] = static_cast<uint32_t>(_mm_extract_epi32(sum, 2));
  (*hash)[2] = static_cast<uint32_t>(_mm_extract_epi32(sum, 1));
  (*hash)[3] = static_cast<uint32_t>(_mm_extract_epi32(sum, 0));
  (*hash)[4] = static_cast<uint32_t>(_mm_extract_epi32(_mm_sha1nexte_epu32(lanes.before, e), 3));
}

/// Intel SDM volume 2, CPUID: leaf 7 has the bit of SHA, leaf 1 those of SSE4.1 and SSSE3.
bool has_instructions() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (b & bit_SHA) == 0) return false;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_1) != 0 && (c & bit_SSSE3) != 0;
}

const bool kHasInstructions = has_instructions();

#endif

}  // namespace

void sha1_add_block_by_words(Sha1Words* hash, const uint8_t* block) {
  Schedule schedule(block);
  Sha1Words words = *hash;
  run_twenty<Choose>(&words, &schedule, 0);
  run_twenty<FirstParity>(&words, &schedule, 20);
  run_twenty<Majority>(&words, &schedule, 40);
  run_twenty<LastParity>(&words, &schedule, 60);
  for (size_t at = 0; at < words.size(); ++at) (*hash)[at] += words[at];
}

void sha1_add_block(Sha1Words* hash, const uint8_t* block) {
#if defined(__x86_64__)
  if (kHasInstructions) return add_block_by_instructions(hash, block);
#endif
  sha1_add_block_by_words(hash, block);
}

}  // namespace megacomet
