// The sparse kernels: one block per example, whatever its size; later passes over the example find it in the cache.
//
// They follow csrc/cpu/sparse.inc. A value is always the same thread's, but for the groups of l0.
#include "sparse.h"

#include <algorithm>
#include <type_traits>

#include "choose.cuh"
#include "pack.cuh"
#include "sums.cuh"

namespace featlab {
namespace {

constexpr int kThreads = kDigits;
constexpr int kBlocks = 3;  // of a multiprocessor; with four, registers would spill
using Sum = Reduction<kThreads, 1>;

struct Shared {
  Scratch<kThreads, 1> sums;
  ChooseScratch choice;
  double largest[kThreads / 32];
};

struct Row {
  const float *points, *center;
  float* out;
  int64_t size;
  Box box;

  __device__ Row(const SparseArguments& a, int64_t row)
      : points(a.points + row * a.size),
        center(a.center + row * a.size),
        out(a.out + row * a.size),
        size(a.size),
        box(a.box) {}

  // Calls visit(i) with this thread's values.
  template <class Visit>
  __device__ __forceinline__ void for_values(const Visit& visit) const {
    for (int64_t i = threadIdx.x; i < size; i += kThreads) {
      visit(i);
    }
  }

  template <class Visit>
  __device__ __forceinline__ void for_reaches(const Visit& visit) const {
    for_values([&](int64_t i) {
      const double middle = static_cast<double>(center[i]);
      visit(near_reach_of(static_cast<double>(points[i]) - middle, middle, box));
    });
  }

  __device__ void keep() const {
    for_values([&](int64_t i) { out[i] = clip(points[i], box); });
  }
};

__device__ double block_largest(double value, double* shared) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    const double other = __shfl_down_sync(0xFFFFFFFFU, value, offset);
    value = value < other ? other : value;
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    shared[threadIdx.x / 32] = value;
  }
  __syncthreads();
  double most = shared[0];
  for (int warp = 1; warp < kThreads / 32; ++warp) {
    most = most < shared[warp] ? shared[warp] : most;
  }
  return most;
}

__device__ Level l1_level(const Row& row, double lambda, Sum& sum) {
  double terms[2] = {0.0, 0.0};
  row.for_reaches([&](const Reach<double>& reach) {
    terms[0] += l1_within(reach, lambda);
    terms[1] += l1_slope(reach, lambda);
  });
  sum(terms);
  return {terms[0], terms[1]};
}

__device__ double farthest_of(const Row& row, Shared& shared) {
  double farthest = 0.0;
  row.for_reaches(
      [&](const Reach<double>& reach) { farthest = farthest < reach.distance ? reach.distance : farthest; });
  return block_largest(farthest, shared.largest);
}

__device__ void l1_project(const Row& row, double eps, Shared& shared, Sum& sum) {
  Level level = l1_level(row, 0.0, sum);
  if (level.sum <= eps) {
    return row.keep();
  }
  Search search = search_of(eps * kShrink, farthest_of(row, shared));
  narrow(search, level);
  while (!search.found) {
    level = l1_level(row, search.lambda, sum);
    narrow(search, level);
  }
  row.for_values([&](int64_t i) { row.out[i] = l1_apply(search.lambda, row.points[i], row.center[i], row.box); });
}

template <class G>
__device__ void l1_move(const Row& row, const G* grad, double step, int64_t count, Shared& shared, Sum& sum) {
  using Key = decltype(key_of(value_of(grad[0])));
  const auto key_at = [&](int64_t i) { return uphill_key(value_of(grad[i]), row.points[i], row.box); };
  const Choice<Key> choice = choose<Key>(row.size, count, key_at, shared.choice, sum);
  const double share = step / static_cast<double>(choice.number);
  row.for_values([&](int64_t i) {
    const double travel = value_of(grad[i]) > 0 ? share : -share;
    row.out[i] = is_chosen(choice, key_at(i), i) ? moved_by(row.points[i], travel) : row.points[i];
  });
}

template <class G>
__global__ void __launch_bounds__(kThreads, kBlocks) l1_step_kernel(SparseArguments a) {
  __shared__ Shared shared;
  Sum sum(shared.sums);
  for (int64_t at = blockIdx.x; at < a.rows; at += gridDim.x) {
    Row row(a, at);
    if constexpr (!std::is_same_v<G, NoGrad>) {
      const G* grad = static_cast<const G*>(a.grad) + at * a.size;
      l1_move(row, grad, static_cast<double>(a.step[at]), a.count.data[at * a.count.stride], shared, sum);
      row.points = row.out;
    }
    l1_project(row, static_cast<double>(valid_radius(a.eps[at])), shared, sum);
  }
}

__device__ void l0_project(const Row& row, int64_t count, int64_t channels, Shared& shared, Sum& sum) {
  const int64_t groups = row.size / channels;
  const auto key_at = [&](int64_t group) {
    double score = l0_gain_at(row.points[group], row.center[group], row.box);
    for (int64_t i = group + groups; i < row.size; i += groups) {
      score += l0_gain_at(row.points[i], row.center[i], row.box);
    }
    return key_of(score);
  };
  const Choice<uint64_t> choice = choose<uint64_t>(groups, count, key_at, shared.choice, sum);
  for (int64_t group = threadIdx.x; group < groups; group += kThreads) {
    const bool kept = is_chosen(choice, key_at(group), group);
    for (int64_t i = group; i < row.size; i += groups) {
      row.out[i] = l0_apply(kept, row.points[i], row.center[i], row.box);
    }
  }
}

template <class G>
__device__ void l0_move(const Row& row, const G* grad, float step, Sum& sum) {
  double squared = 0.0;
  row.for_values([&](int64_t i) {
    const double g = value_of(grad[i]);
    squared += g * g;
  });
  const double along = l2_along(sum(squared), step);
  row.for_values([&](int64_t i) {
    const double travel = along * static_cast<double>(value_of(grad[i]));
    row.out[i] = along == 0.0 ? row.points[i] : moved_by(row.points[i], travel);
  });
}

template <class G>
__global__ void __launch_bounds__(kThreads, kBlocks) l0_step_kernel(SparseArguments a) {
  __shared__ Shared shared;
  Sum sum(shared.sums);
  for (int64_t at = blockIdx.x; at < a.rows; at += gridDim.x) {
    Row row(a, at);
    if constexpr (!std::is_same_v<G, NoGrad>) {
      l0_move(row, static_cast<const G*>(a.grad) + at * a.size, a.step[at], sum);
      row.points = row.out;
      __syncthreads();  // a group is not of the threads that moved its values
    }
    l0_project(row, a.count.data[at * a.count.stride], a.channels, shared, sum);
  }
}

__device__ Split l2_split(const Row& row, double scale, Sum& sum) {
  double terms[2] = {0.0, 0.0};
  row.for_reaches([&](const Reach<double>& reach) {
    const bool free = scale * reach.distance < reach.room;
    terms[0] += free ? reach.distance * reach.distance : 0.0;
    terms[1] += free ? 0.0 : reach.room * reach.room;
  });
  sum(terms);
  return {terms[0], terms[1]};
}

__device__ double l2_cut_squared(const Row& row, Sum& sum) {
  double squared = 0.0;
  row.for_reaches([&](const Reach<double>& reach) {
    const double within = l2_within(reach, 1.0);
    squared += within * within;
  });
  return sum(squared);
}

__device__ double l2_scale_of(const Row& row, double limit, double squared, Sum& sum) {
  double scale = squared == squared ? 0.0 : squared;  // NaN spoils its example
  while (scale == scale) {
    const double next = l2_next_scale(l2_split(row, scale, sum), limit, scale);
    if (!(next > scale)) {
      break;
    }
    scale = next;
  }
  return scale;
}

__global__ void __launch_bounds__(kThreads, kBlocks) l2_box_project_kernel(SparseArguments a) {
  __shared__ Shared shared;
  Sum sum(shared.sums);
  for (int64_t at = blockIdx.x; at < a.rows; at += gridDim.x) {
    const Row row(a, at);
    const double eps = static_cast<double>(valid_radius(a.eps[at])), squared = l2_cut_squared(row, sum);
    if (squared <= eps * eps) {
      row.keep();
    } else {
      const double scale = l2_scale_of(row, eps * kShrink, squared, sum);
      row.for_values([&](int64_t i) { row.out[i] = l2_box_apply(scale, row.points[i], row.center[i], row.box); });
    }
  }
}

// The sum of whole numbers over the block, exactly: their halves are summed as doubles.
__device__ int64_t whole_sum(int64_t own, Sum& sum) {
  double halves[2] = {static_cast<double>(own >> 32), static_cast<double>(own & 0xFFFFFFFFLL)};
  sum(halves);
  return (static_cast<int64_t>(halves[0]) << 32) + static_cast<int64_t>(halves[1]);
}

__device__ int64_t exponentials(const Stream& stream, int64_t size, Sum& sum) {
  int64_t own = 0;
  for (int64_t i = threadIdx.x; 4 * i < size; i += kThreads) {
    const Words words = draw(stream, static_cast<uint32_t>(i));
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      own += 4 * i + j < size ? fixed_point(exponential(words.word[j])) : 0;
    }
  }
  return whole_sum(own, sum);
}

__global__ void __launch_bounds__(kThreads, kBlocks) l1_sample_kernel(SparseArguments a) {
  __shared__ Shared shared;
  Sum sum(shared.sums);
  for (int64_t at = blockIdx.x; at < a.rows; at += gridDim.x) {
    const Row row(a, at);
    const float eps = valid_radius(a.eps[at]);
    const bool ball = is_finite(eps);
    const uint64_t example = static_cast<uint64_t>(a.examples[at]);
    const Stream stream = {a.seed, example, a.restart, ball ? kExponential : kUniform};
    const Stream beyond = {a.seed, example, a.restart, kRadius};
    const int64_t last = fixed_point(exponential(draw(beyond, 0).word[0]));
    const double scale = ball ? l1_sample_scale(exponentials(stream, a.size, sum) + last, eps) : 0.0;
    for (int64_t i = threadIdx.x; 4 * i < a.size; i += kThreads) {
      const Words words = draw(stream, static_cast<uint32_t>(i));
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (const int64_t k = 4 * i + j; k < a.size) {
          row.out[k] = ball ? l1_draw(words.word[j], scale, row.center[k], row.box)
                            : box_sample(words.word[j], row.center[k], row.box);
        }
      }
    }
  }
}

__global__ void __launch_bounds__(kThreads, kBlocks) l0_sample_kernel(SparseArguments a) {
  __shared__ Shared shared;
  Sum sum(shared.sums);
  const int64_t groups = a.size / a.channels;
  for (int64_t at = blockIdx.x; at < a.rows; at += gridDim.x) {
    const Row row(a, at);
    const uint64_t example = static_cast<uint64_t>(a.examples[at]);
    const Stream subset = {a.seed, example, a.restart, kSubset}, uniform = {a.seed, example, a.restart, kUniform};
    const auto key_at = [&](int64_t group) { return subset_key(subset, group); };
    const int64_t count = a.count.data[at * a.count.stride];
    const Choice<uint64_t> choice = choose<uint64_t>(groups, count, key_at, shared.choice, sum);
    for (int64_t group = threadIdx.x; group < groups; group += kThreads) {
      const bool chosen = is_chosen(choice, key_at(group), group);
      for (int64_t i = group; i < a.size; i += groups) {
        row.out[i] = l0_draw(chosen, uniform, i, row.center[i], row.box);
      }
    }
  }
}

unsigned blocks(const SparseArguments& a) {
  return static_cast<unsigned>(std::min<int64_t>(a.rows, 1 << 30));
}

// Calls launch.template operator()<G>().
template <class Launch>
void for_type(GradType grad, const Launch& launch) {
  switch (grad) {
    case GradType::kFloat:
      return launch.template operator()<float>();
    case GradType::kDouble:
      return launch.template operator()<double>();
    case GradType::kBFloat16:
      return launch.template operator()<__nv_bfloat16>();
    case GradType::kHalf:
      return launch.template operator()<__half>();
    case GradType::kNone:
      return launch.template operator()<NoGrad>();
  }
}

}  // namespace

void launch_l1_step(GradType grad, const SparseArguments& a, cudaStream_t stream) {
  for_type(grad, [&]<class G>() { l1_step_kernel<G><<<blocks(a), kThreads, 0, stream>>>(a); });
}

void launch_l0_step(GradType grad, const SparseArguments& a, cudaStream_t stream) {
  for_type(grad, [&]<class G>() { l0_step_kernel<G><<<blocks(a), kThreads, 0, stream>>>(a); });
}

void launch_l2_box_project(const SparseArguments& a, cudaStream_t stream) {
  l2_box_project_kernel<<<blocks(a), kThreads, 0, stream>>>(a);
}

void launch_l1_sample(const SparseArguments& a, cudaStream_t stream) {
  l1_sample_kernel<<<blocks(a), kThreads, 0, stream>>>(a);
}

void launch_l0_sample(const SparseArguments& a, cudaStream_t stream) {
  l0_sample_kernel<<<blocks(a), kThreads, 0, stream>>>(a);
}

}  // namespace featlab
