// Elements in packs of WIDTH, moved by one instruction each: 4 where size and addresses allow, 1 elsewhere.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace featlab {

struct NoGrad {};

template <class T, int WIDTH>
struct alignas(sizeof(T) * WIDTH) Pack {
  static constexpr int kWidth = WIDTH;
  T value[WIDTH];
};

__device__ __forceinline__ float value_of(float grad) {
  return grad;
}
__device__ __forceinline__ double value_of(double grad) {
  return grad;
}
__device__ __forceinline__ float value_of(__nv_bfloat16 grad) {
  return __bfloat162float(grad);
}
__device__ __forceinline__ float value_of(__half grad) {
  return __half2float(grad);
}
__device__ __forceinline__ float value_of(NoGrad) {
  return 0.0F;
}

template <int WIDTH, class T>
__device__ __forceinline__ Pack<T, WIDTH> load(const T* from, int64_t pack) {
  return reinterpret_cast<const Pack<T, WIDTH>*>(from)[pack];
}

// No gradient is read where there is none.
template <int WIDTH>
__device__ __forceinline__ Pack<NoGrad, WIDTH> load(const NoGrad*, int64_t) {
  return {};
}

template <int WIDTH, class T>
__device__ __forceinline__ void store(T* to, int64_t pack, const Pack<T, WIDTH>& values) {
  reinterpret_cast<Pack<T, WIDTH>*>(to)[pack] = values;
}

inline bool aligned(const void* address, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

}  // namespace featlab
