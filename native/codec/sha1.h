// The compression function of SHA-1, with the processor's instructions or in portable C++.
// digest.h has the digest, and its only purpose.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace megacomet {

constexpr size_t kSha1BlockBytes = 64;

/// The hash words of FIPS 180-4 6.1.
using Sha1Words = std::array<uint32_t, 5>;

/// FIPS 180-4 5.3.1.
constexpr Sha1Words kSha1Start = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

/// Adds a block of kSha1BlockBytes to a hash, with SHA instructions if the processor has them.
void sha1_add_block(Sha1Words* hash, const uint8_t* block);

/// The portable form.
void sha1_add_block_by_words(Sha1Words* hash, const uint8_t* block);

}  // namespace megacomet
