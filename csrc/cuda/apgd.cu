// The kernels of Auto-PGD: the step with momentum, from the present point or from the best one, which they keep.
#include <algorithm>
#include <iterator>

#include "apgd_launch.h"
#include "pack.cuh"
#include "sums.cuh"

namespace featlab {
namespace {

constexpr int kBlockThreads = 256;
constexpr int64_t kMostRows = 65535;  // in the y dimension; kernels stride over what is beyond

using Sum = Reduction<kBlockThreads, 1>;

// One example: where its step begins, and what is written.
template <int WIDTH>
struct Travel {
  const float *from, *along, *center;
  float *previous, *best, *best_grad, *out;
  bool improved;

  // An example that goes back and is at its best stays.
  __device__ Travel(const MomentumArguments& a, int64_t row) {
    const int64_t at = row * a.size;
    improved = a.improved[row];
    const bool returns = a.back[row] && !improved;
    from = (returns ? a.best : a.points) + at;
    along = (returns ? a.best_grad : a.grad) + at;
    center = a.center + at;
    previous = a.previous + at;
    best = a.best + at;
    best_grad = a.best_grad + at;
    out = a.out + at;
  }

  // Moves one pack: near(point, gradient, center) is where the plain step leads.
  template <class Near>
  __device__ __forceinline__ Pack<float, WIDTH> glide(int64_t i, float alpha, const Near& near) const {
    const Pack<float, WIDTH> start = load<WIDTH>(from, i), grad = load<WIDTH>(along, i),
                             middle = load<WIDTH>(center, i);
    Pack<float, WIDTH> moved = load<WIDTH>(previous, i);
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
      const float stepped = near(start.value[j], grad.value[j], middle.value[j]);
      moved.value[j] = with_momentum(start.value[j], stepped, moved.value[j], alpha);
    }
    if (improved) {
      store<WIDTH>(best, i, start);
      store<WIDTH>(best_grad, i, grad);
    }
    store<WIDTH>(previous, i, start);
    return moved;
  }
};

template <int WIDTH>
__global__ void __launch_bounds__(kBlockThreads) linf_momentum_kernel(MomentumArguments a) {
  const int64_t packs = a.size / WIDTH;
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const Travel<WIDTH> travel(a, row);
    const float eps = valid_radius(a.eps[row]), step = a.step[row], alpha = a.alpha[row];
    const int64_t stride = gridDim.x * int64_t{kBlockThreads};
    for (int64_t i = blockIdx.x * int64_t{kBlockThreads} + threadIdx.x; i < packs; i += stride) {
      const Pack<float, WIDTH> center = load<WIDTH>(travel.center, i);
      Pack<float, WIDTH> moved = travel.glide(i, alpha, [&](float point, float grad, float middle) {
        return clip(point + sign_step(grad, step), linf_interval(middle, eps, a.box));
      });
#pragma unroll
      for (int j = 0; j < WIDTH; ++j) {
        moved.value[j] = clip(moved.value[j], linf_interval(center.value[j], eps, a.box));
      }
      store<WIDTH>(travel.out, i, moved);
    }
  }
}

// Calls visit(pack) for this thread's packs.
template <class Visit>
__device__ __forceinline__ void for_packs(int64_t packs, const Visit& visit) {
  for (int64_t i = threadIdx.x; i < packs; i += kBlockThreads) {
    visit(i);
  }
}

template <int WIDTH>
__device__ Sums travel_sums(const Travel<WIDTH>& travel, int64_t packs, Sum& reduce) {
  double sums[3] = {};
  for_packs(packs, [&](int64_t i) {
    const Pack<float, WIDTH> point = load<WIDTH>(travel.from, i), grad = load<WIDTH>(travel.along, i);
    const Pack<float, WIDTH> center = load<WIDTH>(travel.center, i);
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
      const double g = grad.value[j];
      const double offset = static_cast<double>(point.value[j]) - static_cast<double>(center.value[j]);
      sums[0] += g * g;
      sums[1] += offset * g;
      sums[2] += offset * offset;
    }
  });
  reduce(sums);
  return {sums[0], sums[1], sums[2]};
}

template <int WIDTH>
__device__ double travelled_squared(const Travel<WIDTH>& travel, int64_t packs, double along, Sum& reduce) {
  double sum = 0.0;
  for_packs(packs, [&](int64_t i) {
    const Pack<float, WIDTH> point = load<WIDTH>(travel.from, i), grad = load<WIDTH>(travel.along, i);
    const Pack<float, WIDTH> center = load<WIDTH>(travel.center, i);
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
      const double offset = static_cast<double>(point.value[j]) - static_cast<double>(center.value[j]);
      const double moved = offset + along * static_cast<double>(grad.value[j]);
      sum += moved * moved;
    }
  });
  return reduce(sum);
}

template <int WIDTH>
__device__ Plan travel_plan(const Travel<WIDTH>& travel, int64_t packs, float eps, float step, Sum& reduce) {
  const Sums sums = travel_sums(travel, packs, reduce);
  const double along = l2_along(sums.gg, step);
  if (along == 0.0) {
    return l2_plan(sums.dd, along, eps);
  }
  const Squared moved = l2_moved(sums, along);
  return l2_plan(moved.cancelled ? travelled_squared(travel, packs, along, reduce) : moved.value, along, eps);
}

// Writes the point with momentum to `out`; returns its squared distance to the center.
template <int WIDTH>
__device__ double l2_glide(const Travel<WIDTH>& travel, int64_t packs, const Plan& plan, float alpha, Box box,
                           Sum& reduce) {
  double sum = 0.0;
  for_packs(packs, [&](int64_t i) {
    const Pack<float, WIDTH> center = load<WIDTH>(travel.center, i);
    const Pack<float, WIDTH> moved = travel.glide(i, alpha, [&](float point, float grad, float middle) {
      return l2_moved_point(plan, point, grad, middle, box);
    });
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
      const double offset = static_cast<double>(moved.value[j]) - static_cast<double>(center.value[j]);
      sum += offset * offset;
    }
    store<WIDTH>(travel.out, i, moved);
  });
  return reduce(sum);
}

template <int WIDTH>
__global__ void __launch_bounds__(kBlockThreads) l2_momentum_kernel(MomentumArguments a) {
  __shared__ Scratch<kBlockThreads, 1> scratch;
  Sum reduce(scratch);
  const int64_t packs = a.size / WIDTH;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const Travel<WIDTH> travel(a, row);
    const float eps = valid_radius(a.eps[row]);
    const Plan plan = travel_plan(travel, packs, eps, a.step[row], reduce);
    const Plan back = l2_plan(l2_glide(travel, packs, plan, a.alpha[row], a.box, reduce), 0.0, eps);
    for_packs(packs, [&](int64_t i) {  // what this thread has written itself
      Pack<float, WIDTH> moved = load<WIDTH>(travel.out, i);
      const Pack<float, WIDTH> center = load<WIDTH>(travel.center, i);
#pragma unroll
      for (int j = 0; j < WIDTH; ++j) {
        moved.value[j] = l2_moved_point(back, moved.value[j], 0.0F, center.value[j], a.box);
      }
      store<WIDTH>(travel.out, i, moved);
    });
  }
}

bool packs_of_four(const MomentumArguments& a) {
  const void* const all[] = {a.points, a.grad, a.center, a.previous, a.best, a.best_grad, a.out};
  return a.size % 4 == 0 && std::all_of(std::begin(all), std::end(all), [](const void* p) { return aligned(p, 16); });
}

dim3 grid_of(int64_t rows, int64_t packs) {
  const int64_t across = std::min<int64_t>((packs + kBlockThreads - 1) / kBlockThreads, 1 << 20);
  return {static_cast<unsigned>(across), static_cast<unsigned>(std::min(rows, kMostRows)), 1};
}

}  // namespace

void launch_linf_momentum_step(const MomentumArguments& a, cudaStream_t stream) {
  if (packs_of_four(a)) {
    linf_momentum_kernel<4><<<grid_of(a.rows, a.size / 4), kBlockThreads, 0, stream>>>(a);
  } else {
    linf_momentum_kernel<1><<<grid_of(a.rows, a.size), kBlockThreads, 0, stream>>>(a);
  }
}

void launch_l2_momentum_step(const MomentumArguments& a, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(a.rows, 1 << 30));
  if (packs_of_four(a)) {
    l2_momentum_kernel<4><<<blocks, kBlockThreads, 0, stream>>>(a);
  } else {
    l2_momentum_kernel<1><<<blocks, kBlockThreads, 0, stream>>>(a);
  }
}

}  // namespace featlab
