// Sums over a block of 256 threads by a fixed tree: the lanes of a warp in pairs, then the warps in order.
#pragma once

#include <cuda_runtime_api.h>

namespace featlab {

constexpr int kBlockThreads = 256;
constexpr int kBlockWarps = kBlockThreads / 32;

// Turns each thread's values into their sums over the block. `shared` holds COUNT * kBlockWarps numbers, and may be
// used again after the next call's first barrier.
template <int COUNT>
__device__ __forceinline__ void block_sums(double (&values)[COUNT], double* shared) {
#pragma unroll
  for (int k = 0; k < COUNT; ++k) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      values[k] += __shfl_down_sync(0xFFFFFFFFU, values[k], offset);
    }
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int k = 0; k < COUNT; ++k) {
      shared[k * kBlockWarps + threadIdx.x / 32] = values[k];
    }
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < COUNT; ++k) {
    values[k] = 0.0;
#pragma unroll
    for (int warp = 0; warp < kBlockWarps; ++warp) {
      values[k] += shared[k * kBlockWarps + warp];
    }
  }
}

}  // namespace featlab
