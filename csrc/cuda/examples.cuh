// Three ways to visit the values of an example more than once: read anew, held in registers, copied to shared memory.
//
// Each calls visit(pack, points, grad, center) with the packs of this thread; packs are counted from the start of
// `out`.
#pragma once

#include <cuda_pipeline.h>

#include <cstdint>
#include <type_traits>

#include "launch.h"
#include "pack.cuh"
#include "sums.cuh"

namespace featlab {

constexpr int kThreads = 256;   // of a block that holds or streams
constexpr int kHeldPacks = 3;   // of a thread: 32 x 32 x 3 values are held by a block
constexpr int kHeldBlocks = 3;  // on a multiprocessor: 80 registers a thread
constexpr int64_t kMostHeld = 4 * kThreads * kHeldPacks;
constexpr int kWide = 512;       // threads of a block that copies: two blocks, 64 registers a thread
constexpr int kWanted = 114000;  // bytes of a copy: half of what a multiprocessor of sm_90 has

template <class G, int WIDTH>
struct Streamed {
  const float *points, *center;
  const G* grad;
  float* out;
  int64_t packs;

  __device__ Streamed(const StepArguments& a, int64_t row)
      : points(a.points + row * a.size),
        center(a.center + row * a.size),
        grad(static_cast<const G*>(a.grad) + row * a.size),
        out(a.out + row * a.size),
        packs(a.size / WIDTH) {}

  template <class Visit>
  __device__ __forceinline__ void for_packs(const Visit& visit) const {
    for (int64_t i = threadIdx.x; i < packs; i += kThreads) {
      visit(i, load<WIDTH>(points, i), load<WIDTH>(grad, i), load<WIDTH>(center, i));
    }
  }
};

template <class G>
struct Held {
  Pack<float, 4> points[kHeldPacks], center[kHeldPacks];
  Pack<G, 4> grad[kHeldPacks];
  float* out;
  int packs;

  __device__ Held(const StepArguments& a, int64_t row)
      : out(a.out + row * a.size), packs(static_cast<int>(a.size / 4)) {
    const int64_t at = row * a.size;
#pragma unroll
    for (int j = 0; j < kHeldPacks; ++j) {
      if (const int i = pack(j); i < packs) {
        points[j] = load<4>(a.points + at, i);
        grad[j] = load<4>(static_cast<const G*>(a.grad) + at, i);
        center[j] = load<4>(a.center + at, i);
      }
    }
  }

  __device__ __forceinline__ static int pack(int j) { return j * kThreads + static_cast<int>(threadIdx.x); }

  template <class Visit>
  __device__ __forceinline__ void for_packs(const Visit& visit) const {
#pragma unroll
    for (int j = 0; j < kHeldPacks; ++j) {
      if (const int i = pack(j); i < packs) {
        visit(i, points[j], grad[j], center[j]);
      }
    }
  }
};

// The packs of an example that each block of a cluster copies, and the bytes that they take.
FEATLAB_FN int share_of(int64_t size, int blocks) {
  return (static_cast<int>(size / 4) + blocks - 1) / blocks;
}

template <class G>
constexpr int kPackBytes = 32 + (std::is_same_v<G, NoGrad> ? 0 : 4 * static_cast<int>(sizeof(G)));

// A thread reads what it has copied itself, so that no barrier is needed.
template <class G>
struct Copied {
  Pack<float, 4>*points, *center;
  Pack<G, 4>* grad;
  float* out;
  int packs;

  __device__ Copied(const StepArguments& a, int64_t row, Place place, uint8_t* memory) {
    const int share = share_of(a.size, place.blocks), first = place.rank * share;
    const int64_t at = row * a.size + 4 * static_cast<int64_t>(first);
    packs = min(share, static_cast<int>(a.size / 4) - first);
    points = reinterpret_cast<Pack<float, 4>*>(memory);
    center = points + share;
    grad = reinterpret_cast<Pack<G, 4>*>(center + share);
    out = a.out + at;
    for (int i = threadIdx.x; i < packs; i += kWide) {
      copy(points, a.points + at, i);
      copy(center, a.center + at, i);
      copy(grad, static_cast<const G*>(a.grad) + at, i);
    }
    __pipeline_commit();
    __pipeline_wait_prior(0);
  }

  template <class T>
  __device__ static void copy(Pack<T, 4>* to, const T* from, int i) {
    if constexpr (!std::is_same_v<T, NoGrad>) {
#pragma unroll
      for (int part = 0; part < kParts<T>; ++part) {
        constexpr int kBytes = sizeof(Pack<T, 4>) / kParts<T>;
        __pipeline_memcpy_async(reinterpret_cast<uint8_t*>(to + i) + part * kBytes,
                                reinterpret_cast<const uint8_t*>(from + 4 * static_cast<int64_t>(i)) + part * kBytes,
                                kBytes);
      }
    }
  }

  template <class Visit>
  __device__ __forceinline__ void for_packs(const Visit& visit) const {
    for (int i = threadIdx.x; i < packs; i += kWide) {
      if constexpr (std::is_same_v<G, NoGrad>) {
        visit(i, points[i], Pack<G, 4>(), center[i]);
      } else {
        visit(i, points[i], grad[i], center[i]);
      }
    }
  }

 private:
  template <class T>
  static constexpr int kParts = sizeof(Pack<T, 4>) > 16 ? 2 : 1;  // 16 bytes are the most that one copy takes
};

}  // namespace featlab
