#include "faults.h"

#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace featlab {
namespace {

namespace cg = cooperative_groups;

constexpr int kThreads = 64;

__global__ void __launch_bounds__(kThreads) reverse_kernel(Numbers n) {
  __shared__ float shared[kThreads];
  const auto fault = static_cast<Faulty>(n.fault);
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  shared[threadIdx.x] = n.from[at];
  if (fault == Faulty::kEarlyEnd && threadIdx.x == 63) {
    return;
  }
  if (fault == Faulty::kTwoBarriers && threadIdx.x < 32) {
    __syncthreads();
  } else if (fault != Faulty::kMissingBarrier && (fault != Faulty::kDivergentBarrier || threadIdx.x < 16)) {
    __syncthreads();
  }
  n.to[at] = shared[kThreads - 1 - threadIdx.x];
}

__global__ void warp_sums_kernel(Numbers n) {
  const auto fault = static_cast<Faulty>(n.fault);
  float value = n.from[blockIdx.x * 32 + threadIdx.x];
  if (fault == Faulty::kAbsentLane && threadIdx.x == 31) {
    return;
  }
  const unsigned mask = fault == Faulty::kMask && threadIdx.x == 5 ? 0xFFFFU << 16 : 0xFFFFFFFFU;
  for (int flip = 16; flip > 0; flip /= 2) {
    value += __shfl_xor_sync(mask, value, flip);
  }
  const float down = __shfl_down_sync(0xFFFFFFFFU, value, 1) + __shfl_up_sync(0xFFFFFFFFU, value, 3, 8);
  n.to[blockIdx.x * 32 + threadIdx.x] = 0.5F * (down + 0.0F * __shfl_sync(0xFFFFFFFFU, value, 7));
}

__global__ void votes_kernel(Numbers n) {
  __shared__ unsigned counter;
  if (threadIdx.x == 0) {
    counter = 0;
  }
  const float value = n.from[threadIdx.x];
  const int above = __syncthreads_count(value > 0.0F);
  const int in_warp = __popc(__ballot_sync(0xFFFFFFFFU, value > 0.0F));
  if (threadIdx.x % 32 == 0) {
    atomicAdd(&counter, in_warp);
  }
  const bool all = __syncthreads_and(value > 0.0F), any = __syncthreads_or(value > 0.0F);
  const int same = __popc(__match_any_sync(0xFFFFFFFFU, value));
  const float answers[] = {float(above), float(counter), float(all), float(any), float(same)};
  for (int i = threadIdx.x; i < 5; i += kThreads) {
    n.to[i] = answers[i];
  }
}

__global__ void cluster_sum_kernel(Numbers n) {
  __shared__ float parts[4];
  const auto fault = static_cast<Cluster>(n.fault);
  const cg::cluster_group cluster = cg::this_cluster();
  const unsigned rank = cluster.block_rank();
  if (fault != Cluster::kNoStart) {
    cluster.sync();
  }
  float value = n.from[blockIdx.x * 32 + threadIdx.x];
  for (int flip = 16; flip > 0; flip /= 2) {
    value += __shfl_xor_sync(0xFFFFFFFFU, value, flip);
  }
  if (threadIdx.x < 4) {
    cluster.map_shared_rank(parts, threadIdx.x)[rank] = value;
  }
  if (fault != Cluster::kNoBarrier) {
    cluster.barrier_arrive();
    cluster.barrier_wait();
  } else {
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    const float* left = fault == Cluster::kNoEnd ? cluster.map_shared_rank(parts, (rank + 1) % 4) : parts;
    n.to[blockIdx.x] = left[0] + left[1] + left[2] + left[3];
  }
}

struct alignas(16) Four {
  float value[4];
};

__global__ void packs_kernel(Numbers n) {
  reinterpret_cast<Four*>(n.to)[threadIdx.x] = reinterpret_cast<const Four*>(n.from)[threadIdx.x];
}

__global__ void beyond_kernel(Numbers n) {
  __shared__ float shared[kThreads];
  shared[threadIdx.x + n.fault] = n.from[threadIdx.x];
  __syncthreads();
  n.to[threadIdx.x] = shared[threadIdx.x];
}

__global__ void demanding_kernel(Numbers n) {
  extern __shared__ float room[];
  const int last = n.fault / static_cast<int>(sizeof(float)) - 1;
  if (threadIdx.x == 0 && last >= 0) {
    room[last] = n.from[0];
    n.to[0] = room[last];
  }
}

#define ROUNDED(suffix)                                                 \
  {__fadd_##suffix(a, b),                                               \
   __fsub_##suffix(a, b),                                               \
   __fmul_##suffix(a, b),                                               \
   __fdiv_##suffix(a, b),                                               \
   __fsqrt_##suffix(a),                                                 \
   __fmaf_##suffix(a, b, a),                                            \
   static_cast<float>(__dadd_##suffix(a, b) - (double(a) + double(b))), \
   __double2float_##suffix(double(a) * double(b))}

__global__ void rounded_kernel(Numbers n) {
  const int64_t at = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (at < n.count) {
    const float a = n.from[2 * at], b = n.from[2 * at + 1];
    const float results[4][8] = {ROUNDED(rd), ROUNDED(ru), ROUNDED(rz), ROUNDED(rn)};
    for (int i = 0; i < 32; ++i) {
      n.to[32 * at + i] = results[i / 8][i % 8];
    }
  }
}

template <class T>
__device__ T half_of(unsigned bits) {
  const auto pattern = static_cast<uint16_t>(bits);
  T value;
  memcpy(&value, &pattern, sizeof(value));
  return value;
}

__global__ void halves_kernel(Numbers n) {
  const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
  n.to[at] = __half2float(half_of<__half>(at));
  n.to[65536 + at] = __bfloat162float(half_of<__nv_bfloat16>(at));
  n.to[2 * 65536 + at] = __half2float(__float2half(n.from[at]));
  n.to[3 * 65536 + at] = __bfloat162float(__float2bfloat16(n.from[at]));
}

}  // namespace

void launch_reverse(const Numbers& numbers, cudaStream_t stream) {
  reverse_kernel<<<static_cast<unsigned>(numbers.count / kThreads), kThreads, 0, stream>>>(numbers);
}

void launch_warp_sums(const Numbers& numbers, cudaStream_t stream) {
  warp_sums_kernel<<<static_cast<unsigned>(numbers.count / 32), 32, 0, stream>>>(numbers);
}

void launch_votes(const Numbers& numbers, cudaStream_t stream) {
  votes_kernel<<<1, kThreads, 0, stream>>>(numbers);
}

void launch_cluster_sum(const Numbers& numbers, cudaStream_t stream) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {numbers.fault == static_cast<int>(Cluster::kTooLarge) ? 32U : 4U, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(numbers.count / 32));
  config.blockDim = dim3(32);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  cudaLaunchKernelEx(&config, cluster_sum_kernel, numbers);
}

void launch_packs(const Numbers& numbers, cudaStream_t stream) {
  packs_kernel<<<1, static_cast<unsigned>(numbers.count / 4), 0, stream>>>(numbers);
}

void launch_beyond(const Numbers& numbers, cudaStream_t stream) {
  beyond_kernel<<<1, kThreads, 0, stream>>>(numbers);
}

void launch_demanding(const Numbers& numbers, cudaStream_t stream) {
  demanding_kernel<<<1, static_cast<unsigned>(numbers.count), static_cast<size_t>(numbers.fault), stream>>>(numbers);
}

void launch_rounded(const Numbers& numbers, cudaStream_t stream) {
  rounded_kernel<<<static_cast<unsigned>(numbers.count / 32 + 1), 32, 0, stream>>>(numbers);
}

void launch_halves(const Numbers& numbers, cudaStream_t stream) {
  halves_kernel<<<256, 256, 0, stream>>>(numbers);
}

}  // namespace featlab
