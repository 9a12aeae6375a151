// What nvcc defines before it reads a source. This file is included before every translated source (g++ -include).
#pragma once

// The standard headers first: some use names that become macros below.
#include <math.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "machine.h"

#define __CUDACC__ 1
#define __CUDA_ARCH__ 900
#define __host__
#define __device__
#define __global__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

#include "cuda_runtime_api.h"
#include "intrinsics.h"
#include "warp.h"

namespace emulation {

// A variable in shared memory; `Site` is a type of its own for every place that declares one, and every instance.
template <class T, class Site>
T& shared(Site) {
  static char key;
  return *static_cast<T*>(machine().shared(&key, sizeof(T)));
}

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(machine().dynamic_shared());
}

}  // namespace emulation
