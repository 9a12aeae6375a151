// Sums, and largest values, over the threads of a block, or of a cluster of blocks, in an order that depends on their
// numbers alone.
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

// This block's place among the blocks of its cluster.
struct Place {
  int rank, blocks;
};

template <bool CLUSTERS>
__device__ __forceinline__ Place place_in_cluster() {
#if FEATLAB_CLUSTERS
  if constexpr (CLUSTERS) {
    const auto cluster = cooperative_groups::this_cluster();
    return {static_cast<int>(cluster.block_rank()), static_cast<int>(cluster.num_blocks())};
  }
#endif
  return {0, 1};
}

struct Plus {
  __device__ __forceinline__ double operator()(double a, double b) const { return a + b; }
};

struct Larger {
  __device__ __forceinline__ double operator()(double a, double b) const { return a > b ? a : b; }
};

// Shared memory of a reduction by blocks of THREADS threads, in clusters of at most CLUSTER. Each call uses the half
// that the call before did not: one barrier then suffices.
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

  // Replaces each term by its sum, or what else joins two, over all threads, the same in each of them.
  template <int TERMS, class Join = Plus>
  __device__ void operator()(double (&terms)[TERMS], const Join& join = {}) {
    join_block(terms, join);
    if constexpr (CLUSTER > 1) {
      join_cluster(terms, join);
    }
    half_ ^= 1;
  }

  template <class Join = Plus>
  __device__ double operator()(double term, const Join& join = {}) {
    double terms[1] = {term};
    (*this)(terms, join);
    return terms[0];
  }

 private:
  template <int TERMS, class Join>
  __device__ void join_block(double (&terms)[TERMS], const Join& join) {
    double (*warps)[kMostTerms] = scratch_.warps[half_];
#pragma unroll
    for (int k = 0; k < TERMS; ++k) {
#pragma unroll
      for (int offset = 16; offset > 0; offset /= 2) {
        terms[k] = join(terms[k], __shfl_down_sync(0xFFFFFFFFU, terms[k], offset));
      }
      if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32][k] = terms[k];
      }
    }
    __syncthreads();
    fold(warps, THREADS / 32, terms, join);
  }

  // Every block tells every other its terms; then each joins them.
  template <int TERMS, class Join>
  __device__ void join_cluster(double (&terms)[TERMS], const Join& join) {
#if FEATLAB_CLUSTERS
    const auto cluster = cooperative_groups::this_cluster();
    if (!started_) {
      cluster.barrier_wait();
      started_ = true;
    }
    const Place place = place_in_cluster<true>();
    if (static_cast<int>(threadIdx.x) < place.blocks) {
      double (*there)[kMostTerms] = cluster.map_shared_rank(scratch_.blocks[half_], threadIdx.x);
#pragma unroll
      for (int k = 0; k < TERMS; ++k) {
        there[place.rank][k] = terms[k];
      }
    }
    cluster.sync();
    fold(scratch_.blocks[half_], place.blocks, terms, join);
#endif
  }

  template <int TERMS, class Join>
  __device__ static void fold(const double (*parts)[kMostTerms], int count, double (&terms)[TERMS], const Join& join) {
#pragma unroll
    for (int k = 0; k < TERMS; ++k) {
      terms[k] = parts[0][k];
    }
#pragma unroll 4
    for (int i = 1; i < count; ++i) {
#pragma unroll
      for (int k = 0; k < TERMS; ++k) {
        terms[k] = join(terms[k], parts[i][k]);
      }
    }
  }

  Scratch<THREADS, CLUSTER>& scratch_;
  int half_ = 0;
  bool started_ = false;
};

}  // namespace featlab
