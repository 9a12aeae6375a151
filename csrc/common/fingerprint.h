// One 64-bit number for the state of an example: a sum over its elements, so the order of summing does not matter.
#pragma once

#include <cstdint>

#include "portable.h"

namespace featlab {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ULL;

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014, figure 16, with Stafford's variant 13).
FEATLAB_FN uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

// What element number `place` adds to the fingerprint.
FEATLAB_FN uint64_t print_of(float value, int64_t place) {
  return mixed(bits_as<uint32_t>(value) + static_cast<uint64_t>(place + 1) * kGolden);
}

}  // namespace featlab
