// The largest of an example's keys, chosen by one block digit by digit from the top (radix selection).
//
// The counts are of whole numbers, so that the order in which the threads count does not matter.
#pragma once

#include <cstdint>

#include "../common/sparse.h"

namespace featlab {

constexpr int kDigit = 8;
constexpr int kDigits = 1 << kDigit;  // one for each thread

struct ChooseScratch {
  unsigned histogram[kDigits];
  unsigned warps[kDigits / 32];
  unsigned digit, above, same;
};

// Finds the digit that the `left`-th largest key has; every thread has counted one digit.
__device__ inline void find_digit(ChooseScratch& scratch, int64_t left) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const unsigned own = scratch.histogram[threadIdx.x];
  unsigned from = own;  // keys with this digit or a larger one of the same warp
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const unsigned next = __shfl_down_sync(0xFFFFFFFFU, from, offset);
    from += lane + offset < 32 ? next : 0U;
  }
  if (lane == 0) {
    scratch.warps[warp] = from;
  }
  __syncthreads();
  for (int other = warp + 1; other < kDigits / 32; ++other) {
    from += scratch.warps[other];
  }
  const int64_t above = static_cast<int64_t>(from) - own;
  if (above < left && left <= static_cast<int64_t>(from)) {
    scratch.digit = threadIdx.x;
    scratch.above = static_cast<unsigned>(above);
    scratch.same = own;
  }
  __syncthreads();
}

// What has been settled of the least key that is chosen: `same` keys begin like it, of which `left` are chosen.
template <class Key>
struct Settled {
  Key least;
  int64_t left, same;
};

// All threads of a block of kDigits call this. `count` lies in 1 .. size.
template <class Key, class KeyAt>
__device__ Settled<Key> settle(int64_t size, int64_t count, const KeyAt& key_at, ChooseScratch& scratch) {
  Settled<Key> settled = {0, count, size};
  Key mask = static_cast<Key>(~(~Key{0} >> 1));  // keys are magnitudes: their top bit is 0
  for (int shift = 8 * sizeof(Key) - 1; shift > 0 && settled.same > settled.left;) {
    const int low = shift > kDigit ? shift - kDigit : 0;
    const Key digits = (Key{1} << (shift - low)) - 1;
    scratch.histogram[threadIdx.x] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < size; i += kDigits) {
      const Key key = key_at(i);
      if ((key & mask) == settled.least) {
        atomicAdd(&scratch.histogram[(key >> low) & digits], 1U);
      }
    }
    __syncthreads();
    find_digit(scratch, settled.left);
    settled = {static_cast<Key>(settled.least | static_cast<Key>(scratch.digit) << low), settled.left - scratch.above,
               scratch.same};
    mask |= digits << low;
    shift = low;
    __syncthreads();
  }
  return settled;
}

// The `count` largest of `size` keys; of equals, the lowest indices. `sum` adds a double over the block.
template <class Key, class KeyAt, class Sum>
__device__ Choice<Key> choose(int64_t size, int64_t count, const KeyAt& key_at, ChooseScratch& scratch, Sum& sum) {
  if (count <= 0) {
    return {static_cast<Key>(~Key{0}), -1, 0};
  }
  const int64_t most = count < size ? count : size;
  const Settled<Key> settled = settle<Key>(size, most, key_at, scratch);
  const Key least = settled.least;
  if (least == 0) {
    double positive = 0.0;
    for (int64_t i = threadIdx.x; i < size; i += kDigits) {
      positive += key_at(i) > Key{0} ? 1.0 : 0.0;
    }
    return {0, -1, static_cast<int64_t>(sum(positive))};
  }
  if (settled.same <= settled.left) {
    return {least, size, most};
  }
  // Equals are too many: of their indices, counted from the end, the largest.
  const auto place = [&](int64_t i) { return key_at(i) == least ? static_cast<uint32_t>(size - i) : uint32_t{0}; };
  const Settled<uint32_t> last = settle<uint32_t>(size, settled.left, place, scratch);
  return {least, size - static_cast<int64_t>(last.least), most};
}

}  // namespace featlab
