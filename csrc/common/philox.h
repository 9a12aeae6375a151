// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), and what its counter means here.
//
// A draw is a function of (seed, example, restart, purpose, element) alone: not of the device, nor of the batch that
// the example happens to be in, nor of earlier draws.
#pragma once

#include <cstdint>

#include "portable.h"

namespace featlab {

struct Words {
  uint32_t word[4];
};

enum Purpose : uint32_t { kUniform = 0, kNormal = 1, kRadius = 2, kExponential = 3, kSubset = 4 };

struct Stream {
  uint64_t seed;
  uint64_t example;
  uint32_t restart;  // below 2^24: shares a counter word with the purpose
  uint32_t purpose;  // below 2^8
};

FEATLAB_FN Words philox(Words counter, uint32_t key0, uint32_t key1) {
  uint32_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
  for (int round = 0; round < 10; ++round) {
    const uint64_t even = static_cast<uint64_t>(c0) * 0xD2511F53U;
    const uint64_t odd = static_cast<uint64_t>(c2) * 0xCD9E8D57U;
    c0 = static_cast<uint32_t>(odd >> 32) ^ c1 ^ key0;
    c2 = static_cast<uint32_t>(even >> 32) ^ c3 ^ key1;
    c1 = static_cast<uint32_t>(odd);
    c3 = static_cast<uint32_t>(even);
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return {{c0, c1, c2, c3}};
}

// The four words that belong to elements 4 * block .. 4 * block + 3 of an example.
FEATLAB_FN Words draw(const Stream& stream, uint32_t block) {
  const Words counter = {{block, static_cast<uint32_t>(stream.example), static_cast<uint32_t>(stream.example >> 32),
                          stream.restart << 8 | stream.purpose}};
  return philox(counter, static_cast<uint32_t>(stream.seed), static_cast<uint32_t>(stream.seed >> 32));
}

// Uniform in (-1, 1), an odd multiple of 2^-24: exact in float and symmetric about 0.
FEATLAB_FN float symmetric_uniform(uint32_t word) {
  const int32_t odd = 2 * static_cast<int32_t>(word >> 8) + 1 - (1 << 24);
  return static_cast<float>(odd) * 0x1p-24F;
}

// Uniform in (0, 1), never 0 nor 1; exact in double.
FEATLAB_FN double open_uniform(uint32_t word) {
  return (static_cast<double>(word) + 0.5) * 0x1p-32;
}

}  // namespace featlab
