// The kernel of the losses: one warp per example. All lanes come to the same findings, by exchanges in pairs.
#include <algorithm>

#include "heads_launch.h"
#include "pack.cuh"

namespace featlab {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr unsigned kAll = 0xFFFFFFFFU;

__device__ __forceinline__ void put(float* to, double value) {
  *to = static_cast<float>(value);
}
__device__ __forceinline__ void put(__nv_bfloat16* to, double value) {
  *to = __float2bfloat16_rn(static_cast<float>(value));
}
__device__ __forceinline__ void put(__half* to, double value) {
  *to = __float2half_rn(static_cast<float>(value));
}

__device__ __forceinline__ Logit exchanged(const Logit& mine, int distance) {
  Logit theirs;
  theirs.value = __shfl_xor_sync(kAll, mine.value, distance);
  theirs.index = __shfl_xor_sync(kAll, static_cast<int>(mine.index), distance);
  return theirs;
}

// What two sets of classes that have none in common contain together.
__device__ __forceinline__ void merge(Found& found, int distance, bool order) {
  found.broken = __shfl_xor_sync(kAll, static_cast<int>(found.broken), distance) != 0 || found.broken;
  answer_with(found, exchanged(found.answer, distance));
  const Logit other = exchanged(found.other, distance);
  if (other.index >= 0 && before(other, found.other)) {
    found.other = other;
  }
  if (order) {
    Logit theirs[4];
#pragma unroll
    for (int place = 0; place < 4; ++place) {
      theirs[place] = exchanged(found.top.at[place], distance);
    }
#pragma unroll
    for (int place = 0; place < 4; ++place) {
      insert(found.top, theirs[place]);
    }
  }
}

template <class T>
struct Example {
  const T* logits;
  T* cotangent;
  int64_t classes, label;
  int lane;

  __device__ __forceinline__ float logit(int64_t index) const { return value_of(logits[index]); }

  __device__ __forceinline__ Found look(bool order) const {
    Found found;
    for (int64_t j = lane; j < classes; j += 32) {
      look_at(found, {logit(j), j}, label, order);
    }
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      merge(found, distance, order);
    }
    return found;
  }

  __device__ __forceinline__ double sum(float shift) const {
    double total = 0.0;
    for (int64_t j = lane; j < classes; j += 32) {
      total += j == label ? 0.0 : static_cast<double>(exp_nonpositive(logit(j) - shift));
    }
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      total += __shfl_xor_sync(kAll, total, distance);
    }
    return total;
  }

  __device__ __forceinline__ void write(const Cotangent& by, bool smooth, float shift) const {
    for (int64_t j = lane; j < classes; j += 32) {
      put(cotangent + j, derivative(by, j, label, smooth && j != label ? exp_nonpositive(logit(j) - shift) : 0.0F));
    }
  }
};

// A class out of range makes its example NaN: the host cannot be told without waiting for it.
template <class T>
__device__ __forceinline__ void judge(const HeadArguments& a, int64_t row, int lane) {
  const int64_t label = a.labels[row], wanted = a.loss == Loss::kDlrTargeted ? a.targets[row] : label;
  const bool known = label >= 0 && label < a.classes && wanted >= 0 && wanted < a.classes;
  const int64_t at = row * a.classes;
  const Example<T> example = {static_cast<const T*>(a.logits) + at, static_cast<T*>(a.cotangent) + at, a.classes, label,
                              lane};
  Found found = example.look(needs_order(a.loss));
  found.broken = found.broken || !known;
  const bool smooth = is_smooth(a.loss) && !found.broken;
  const float shift = shift_of(found), own = known ? example.logit(label) : 0.0F;
  const double sum = smooth ? example.sum(shift) : 0.0;
  const Logit target = {known ? example.logit(wanted) : 0.0F, wanted};
  const Cotangent by = cotangent_of(a.loss, found, own, sum, label, target);
  example.write(by, smooth, shift);
  if (lane == 0) {
    a.value[row] = static_cast<float>(by.loss);
    a.margin[row] = found.broken ? static_cast<float>(not_a_number()) : found.other.value - own;
    a.correct[row] = found.answer.index == label;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) head_kernel(HeadArguments a) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t stride = gridDim.x * int64_t{kWarps};
  for (int64_t row = blockIdx.x * int64_t{kWarps} + threadIdx.x / 32; row < a.rows; row += stride) {
    judge<T>(a, row, lane);
  }
}

}  // namespace

void launch_head(GradType type, const HeadArguments& a, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(std::min<int64_t>((a.rows + kWarps - 1) / kWarps, 1 << 30));
  if (type == GradType::kBFloat16) {
    head_kernel<__nv_bfloat16><<<blocks, kThreads, 0, stream>>>(a);
  } else if (type == GradType::kHalf) {
    head_kernel<__half><<<blocks, kThreads, 0, stream>>>(a);
  } else {
    head_kernel<float><<<blocks, kThreads, 0, stream>>>(a);
  }
}

}  // namespace featlab
