// Kernels that are right and kernels that are wrong, on which the emulation shows that it can tell.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace featlab {

struct Numbers {
  int64_t count;
  const float* from;
  float* to;
  int fault;  // 0: none
};

enum class Faulty { kMissingBarrier = 1, kDivergentBarrier, kEarlyEnd, kTwoBarriers, kAbsentLane, kMask };
enum class Cluster { kRight, kNoStart, kNoEnd, kNoBarrier, kTooLarge };

// Reverses each block of 64 numbers by way of shared memory.
void launch_reverse(const Numbers& numbers, cudaStream_t stream);
// Writes the sum of each row of 32 numbers, by shuffles.
void launch_warp_sums(const Numbers& numbers, cudaStream_t stream);
// Writes what ballots, votes, matches and atomics give for 64 numbers.
void launch_votes(const Numbers& numbers, cudaStream_t stream);
// Writes the sum of all numbers once for each block of a cluster of 4 blocks of 32 threads.
void launch_cluster_sum(const Numbers& numbers, cudaStream_t stream);
// Copies numbers in packs of four, whatever their address, or beyond the end of a shared array.
void launch_packs(const Numbers& numbers, cudaStream_t stream);
void launch_beyond(const Numbers& numbers, cudaStream_t stream);
// Asks for `count` threads in a block, or `fault` bytes of dynamic shared memory.
void launch_demanding(const Numbers& numbers, cudaStream_t stream);
// Writes a + b, a - b, a * b, a / b, sqrt(a), fma(a, b, a) rounded down, up, to zero, to nearest.
void launch_rounded(const Numbers& numbers, cudaStream_t stream);
// Converts 65536 patterns of bits of 16-bit types to float, and `from` to these types and back.
void launch_halves(const Numbers& numbers, cudaStream_t stream);

}  // namespace featlab
