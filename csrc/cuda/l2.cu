// The l2 kernels: one block per example, whatever its size; a second pass over the example finds it in the cache.
//
// A thread sums every kThreads-th pack, then the threads are folded in pairs: the tree depends on the size of the
// example (and on whether packs of four fit it) alone.
#include "step.cuh"

namespace featlab {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// The sum over the block, the same in every thread. `shared` may be used again after the next call's first barrier.
__device__ double block_sum(double value, double* shared) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value += __shfl_down_sync(0xFFFFFFFFU, value, offset);
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    shared[threadIdx.x / 32] = value;
  }
  __syncthreads();
  double sum = 0.0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    sum += shared[warp];
  }
  return sum;
}

template <class G, int WIDTH>
struct Example {
  const float *points, *center;
  const G* grad;
  float* out;
  int64_t packs;

  // Calls visit(pack, points, grad, center) with this thread's packs.
  template <class Visit>
  __device__ __forceinline__ void for_packs(const Visit& visit) const {
    for (int64_t i = threadIdx.x; i < packs; i += kThreads) {
      visit(i, load<WIDTH>(points, i), load<WIDTH>(grad, i), load<WIDTH>(center, i));
    }
  }
};

template <class G, int WIDTH>
__device__ Sums sums_of(const Example<G, WIDTH>& example, double* shared) {
  Sums sums = {0.0, 0.0, 0.0};
  example.for_packs([&](int64_t, const auto& points, const auto& grad, const auto& center) {
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
      const double g = value_of(grad.value[j]);
      const double offset = static_cast<double>(points.value[j]) - static_cast<double>(center.value[j]);
      sums.gg += g * g;
      sums.dg += offset * g;
      sums.dd += offset * offset;
    }
  });
  return {block_sum(sums.gg, shared), block_sum(sums.dg, shared), block_sum(sums.dd, shared)};
}

template <class G, int WIDTH>
__device__ double moved_squared(const Example<G, WIDTH>& example, double along, double* shared) {
  double sum = 0.0;
  example.for_packs([&](int64_t, const auto& points, const auto& grad, const auto& center) {
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
      const double offset = static_cast<double>(points.value[j]) - static_cast<double>(center.value[j]);
      const double moved = offset + along * static_cast<double>(value_of(grad.value[j]));
      sum += moved * moved;
    }
  });
  return block_sum(sum, shared);
}

template <class G, int WIDTH>
__device__ Plan plan_of(const Example<G, WIDTH>& example, float eps, float step, double* shared) {
  const Sums sums = sums_of(example, shared);
  const double along = l2_along(sums.gg, step);
  if (along == 0.0) {
    return l2_plan(sums.dd, along, eps);
  }
  const Squared moved = l2_moved(sums, along);
  return l2_plan(moved.cancelled ? moved_squared(example, along, shared) : moved.value, along, eps);
}

template <class G, int WIDTH>
__global__ void __launch_bounds__(kThreads) l2_step_kernel(StepArguments a) {
  __shared__ double shared[kWarps];
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const int64_t at = row * a.size;
    const Example<G, WIDTH> example = {a.points + at, a.center + at, static_cast<const G*>(a.grad) + at, a.out + at,
                                       a.size / WIDTH};
    const Plan plan = plan_of(example, valid_radius(a.eps[row]), a.step[row], shared);
    example.for_packs([&](int64_t i, Pack<float, WIDTH> points, const auto& grad, const auto& center) {
#pragma unroll
      for (int j = 0; j < WIDTH; ++j) {
        const double g = value_of(grad.value[j]);
        points.value[j] =
            plan.keep ? clip(points.value[j], a.box) : l2_apply(plan, points.value[j], g, center.value[j], a.box);
      }
      store<WIDTH>(example.out, i, points);
    });
  }
}

__device__ double normals_squared(const Stream& stream, int64_t size, double* shared) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; 4 * i < size; i += kThreads) {
    const Normals drawn = normals(stream, static_cast<uint32_t>(i));
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      sum += 4 * i + j < size ? drawn.value[j] * drawn.value[j] : 0.0;
    }
  }
  return block_sum(sum, shared);
}

__global__ void __launch_bounds__(kThreads) l2_sample_kernel(SampleArguments a) {
  __shared__ double shared[kWarps];
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const float eps = valid_radius(a.eps[row]);
    const bool ball = is_finite(eps);
    const uint64_t example = static_cast<uint64_t>(a.examples[row]);
    const Stream stream = {a.seed, example, a.restart, ball ? kNormal : kUniform};
    const Stream radius = {a.seed, example, a.restart, kRadius};
    const double scale = ball ? l2_sample_scale(normals_squared(stream, a.size, shared), radius, eps, a.size) : 0.0;
    for (int64_t i = threadIdx.x; 4 * i < a.size; i += kThreads) {
      const Words words = draw(stream, static_cast<uint32_t>(i));
      const Normals drawn = normals(stream, static_cast<uint32_t>(i));
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int64_t at = row * a.size + 4 * i + j;
        if (4 * i + j < a.size) {
          a.out[at] = ball ? clip(add_toward(a.center[at], drawn.value[j] * scale), a.box)
                           : box_sample(words.word[j], a.center[at], a.box);
        }
      }
    }
  }
}

}  // namespace

void launch_l2_step(GradType grad, const StepArguments& a, cudaStream_t stream) {
  for_grad(grad, a, [&]<class G, int WIDTH>() {
    l2_step_kernel<G, WIDTH><<<static_cast<unsigned>(std::min<int64_t>(a.rows, 1 << 30)), kThreads, 0, stream>>>(a);
  });
}

void launch_l2_sample(const SampleArguments& a, cudaStream_t stream) {
  l2_sample_kernel<<<static_cast<unsigned>(std::min<int64_t>(a.rows, 1 << 30)), kThreads, 0, stream>>>(a);
}

}  // namespace featlab
