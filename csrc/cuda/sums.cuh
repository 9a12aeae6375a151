// Sums over the threads of a block, or of a cluster of blocks, in an order that depends on their numbers alone.
#pragma once

#include <cooperative_groups.h>

#include <cstdint>

// Whether this pass of the compiler is for a device with thread-block clusters.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define FEATLAB_CLUSTERS 1
#else
#define FEATLAB_CLUSTERS 0
#endif

namespace featlab {

constexpr int kMostTerms = 3;

// Shared memory of a reduction. Each call uses the half that the call before did not: one barrier then suffices.
template <int THREADS, int CLUSTER>
struct Scratch {
  double warps[2][THREADS / 32][kMostTerms];
  double blocks[2][CLUSTER][kMostTerms];
};

// One for all threads of a block or cluster; all of them make the same calls.
template <int THREADS, int CLUSTER>
class Reduction {
 public:
  __device__ explicit Reduction(Scratch<THREADS, CLUSTER>& scratch) : scratch_(scratch) {
#if FEATLAB_CLUSTERS
    if constexpr (CLUSTER > 1) {
      cooperative_groups::this_cluster().barrier_arrive();  // waited for when another block's memory is first used
    }
#endif
  }

  // Replaces each term by its sum over all threads, the same in each of them.
  template <int TERMS>
  __device__ void operator()(double (&terms)[TERMS]) {
    sum_block(terms);
    if constexpr (CLUSTER > 1) {
      sum_cluster(terms);
    }
    half_ ^= 1;
  }

  __device__ double operator()(double term) {
    double terms[1] = {term};
    (*this)(terms);
    return terms[0];
  }

 private:
  template <int TERMS>
  __device__ void sum_block(double (&terms)[TERMS]) {
    double (*warps)[kMostTerms] = scratch_.warps[half_];
#pragma unroll
    for (int k = 0; k < TERMS; ++k) {
#pragma unroll
      for (int offset = 16; offset > 0; offset /= 2) {
        terms[k] += __shfl_down_sync(0xFFFFFFFFU, terms[k], offset);
      }
      if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32][k] = terms[k];
      }
    }
    __syncthreads();
    fold<THREADS / 32>(warps, terms);
  }

  // Every block tells every other its sums; then each adds them up.
  template <int TERMS>
  __device__ void sum_cluster(double (&terms)[TERMS]) {
#if FEATLAB_CLUSTERS
    const auto cluster = cooperative_groups::this_cluster();
    if (!started_) {
      cluster.barrier_wait();
      started_ = true;
    }
    if (threadIdx.x < CLUSTER) {
      double (*there)[kMostTerms] = cluster.map_shared_rank(scratch_.blocks[half_], threadIdx.x);
#pragma unroll
      for (int k = 0; k < TERMS; ++k) {
        there[cluster.block_rank()][k] = terms[k];
      }
    }
    cluster.sync();
    fold<CLUSTER>(scratch_.blocks[half_], terms);
#endif
  }

  template <int COUNT, int TERMS>
  __device__ static void fold(const double (*parts)[kMostTerms], double (&terms)[TERMS]) {
#pragma unroll
    for (int k = 0; k < TERMS; ++k) {
      terms[k] = parts[0][k];
#pragma unroll
      for (int i = 1; i < COUNT; ++i) {
        terms[k] += parts[i][k];
      }
    }
  }

  Scratch<THREADS, CLUSTER>& scratch_;
  int half_ = 0;
  bool started_ = false;
};

}  // namespace featlab
