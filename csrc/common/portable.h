// What lets one source serve the host compilers and nvcc.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define FEATLAB_FN static __host__ __device__ __forceinline__
#else
#define FEATLAB_FN [[maybe_unused]] static inline __attribute__((always_inline))
#endif

namespace featlab {

template <class To, class From>
FEATLAB_FN To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

}  // namespace featlab
