// The loop's books: fingerprints, one block per example, and copies of the rows that are better.
#include "bookkeeping.h"

#include <algorithm>

#include "../common/fingerprint.h"
#include "pack.cuh"
#include "step.cuh"

namespace featlab {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

__global__ void __launch_bounds__(kThreads) fingerprint_kernel(PrintArguments a) {
  __shared__ uint64_t shared[kWarps];
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const float* values = a.values + row * a.size;
    uint64_t sum = 0;
    for (int64_t i = threadIdx.x; i < a.size; i += kThreads) {
      sum += print_of(values[i], i);
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      sum += __shfl_down_sync(0xFFFFFFFFU, sum, offset);
    }
    __syncthreads();  // The row before has been read out of `shared`.
    if (threadIdx.x % 32 == 0) {
      shared[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      uint64_t whole = 0;
#pragma unroll
      for (int warp = 0; warp < kWarps; ++warp) {
        whole += shared[warp];
      }
      a.out[row] = static_cast<int64_t>(whole);
    }
  }
}

template <int WIDTH>
__global__ void __launch_bounds__(kThreads) keep_better_kernel(BetterArguments a) {
  const int64_t packs = a.size / WIDTH;
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const int64_t to = a.index[row];
    if (!a.take[row] || to < 0 || to >= a.best_rows) {
      continue;
    }
    for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < packs; i += gridDim.x * int64_t{kThreads}) {
      store<WIDTH>(a.best, to * packs + i, load<WIDTH>(a.values, row * packs + i));
    }
  }
}

template <int WIDTH>
void keep(const BetterArguments& a, cudaStream_t stream) {
  const int64_t blocks = std::min<int64_t>((a.size / WIDTH + kThreads - 1) / kThreads, 1 << 20);
  const dim3 grid = {static_cast<unsigned>(blocks), static_cast<unsigned>(std::min(a.rows, kMostBlocks)), 1};
  keep_better_kernel<WIDTH><<<grid, kThreads, 0, stream>>>(a);
}

}  // namespace

void launch_fingerprint(const PrintArguments& a, cudaStream_t stream) {
  fingerprint_kernel<<<static_cast<unsigned>(std::min<int64_t>(a.rows, 1 << 30)), kThreads, 0, stream>>>(a);
}

void launch_keep_better(const BetterArguments& a, cudaStream_t stream) {
  if (a.size % 4 == 0 && aligned(a.values, 16) && aligned(a.best, 16)) {
    return keep<4>(a, stream);
  }
  keep<1>(a, stream);
}

}  // namespace featlab
