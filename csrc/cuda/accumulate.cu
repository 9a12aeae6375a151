// The steps along accumulated gradients. The blocks of a cluster share an example; each reads its part of the gradient
// three times: for the largest magnitude, for the sum, and to bring the momentum up to date. So few examples are under
// way at once that only the first comes from memory, and the others from the caches.
#include <mutex>

#include "../common/accumulate.h"
#include "clusters.cuh"
#include "step.cuh"
#include "sums.cuh"

namespace featlab {
namespace {

constexpr int kAccumulateThreads = 256;
constexpr int64_t kShare = int64_t{16} * kAccumulateThreads;  // packs of a block that are worth another one

// This block's part of one example.
template <class G, int WIDTH>
struct Share {
  const G* grad;
  int64_t packs;
  Place place;

  template <class Visit>
  __device__ __forceinline__ void for_packs(const Visit& visit) const {
    const int64_t stride = static_cast<int64_t>(place.blocks) * kAccumulateThreads;
    for (int64_t i = place.rank * kAccumulateThreads + static_cast<int>(threadIdx.x); i < packs; i += stride) {
      visit(i, load<WIDTH>(grad, i));
    }
  }
};

template <class G, int WIDTH, class REDUCTION>
__device__ double inverse_length_of(const Share<G, WIDTH>& share, int64_t size, REDUCTION& reduce) {
  double largest = 0.0, total = 0.0;
  share.for_packs([&](int64_t, const Pack<G, WIDTH>& grad) {
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
      largest = Larger()(fabs(static_cast<double>(value_of(grad.value[j]))), largest);
    }
  });
  const double scale = grains_of(size) / reduce(largest, Larger());
  share.for_packs([&](int64_t, const Pack<G, WIDTH>& grad) {
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
      total += whole_grains(fabs(static_cast<double>(value_of(grad.value[j]))), scale);
    }
  });
  return inverse_length(reduce(total), scale);
}

// With STEP, the linf step follows at once.
template <class G, int WIDTH, bool STEP>
__device__ void accumulate(const AccumulateArguments& a, const Share<G, WIDTH>& share, int64_t row, double inverse) {
  const StepArguments& s = a.step;
  const float decay = a.decay[row], eps = valid_radius(s.eps[row]), step = s.step[row];
  const int64_t at = row * s.size;
  share.for_packs([&](int64_t i, const Pack<G, WIDTH>& grad) {
    Pack<float, WIDTH> momentum = load<WIDTH>(a.momentum + at, i);
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
      const double g = static_cast<double>(value_of(grad.value[j]));
      momentum.value[j] = accumulated(momentum.value[j], decay, g, inverse);
    }
    store<WIDTH>(a.momentum + at, i, momentum);
    if constexpr (STEP) {
      Pack<float, WIDTH> points = load<WIDTH>(s.points + at, i);
      const Pack<float, WIDTH> center = load<WIDTH>(s.center + at, i);
#pragma unroll
      for (int j = 0; j < WIDTH; ++j) {
        const float moved = points.value[j] + sign_step(momentum.value[j], step);
        points.value[j] = clip(moved, linf_interval(center.value[j], eps, s.box));
      }
      store<WIDTH>(s.out + at, i, points);
    }
  });
}

template <class G, int WIDTH, bool STEP, bool CLUSTERS>
__global__ void __launch_bounds__(kAccumulateThreads) accumulate_kernel(AccumulateArguments a) {
  if constexpr (!CLUSTERS || FEATLAB_CLUSTERS) {
    constexpr int kCluster = CLUSTERS ? kMostCluster : 1;
    __shared__ Scratch<kAccumulateThreads, kCluster> scratch;
    Reduction<kAccumulateThreads, kCluster> reduce(scratch);
    const Place place = place_in_cluster<CLUSTERS>();
    for (int64_t row = blockIdx.x / place.blocks; row < a.step.rows; row += gridDim.x / place.blocks) {
      const G* grad = static_cast<const G*>(a.step.grad) + row * a.step.size;
      const Share<G, WIDTH> share = {grad, a.step.size / WIDTH, place};
      accumulate<G, WIDTH, STEP>(a, share, row, inverse_length_of(share, a.step.size, reduce));
    }
  } else {
    __trap();  // the launch asks first what the kernel was compiled for
  }
}

// The largest cluster of the kernel on the current device, which is asked once.
template <class G, int WIDTH, bool STEP>
int most_blocks() {
  static std::once_flag once[kMostDevices];
  static int most[kMostDevices];
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= kMostDevices) {
    return 1;
  }
  std::call_once(once[device], [&] {
    const auto kernel = accumulate_kernel<G, WIDTH, STEP, true>;
    most[device] = 1;
    for (int cluster = kMostCluster; cluster > 1 && most[device] == 1 && runs_in_clusters(kernel, device);
         cluster /= 2) {
      const ClusterLaunch launch(static_cast<unsigned>(cluster), cluster, kAccumulateThreads, 0, nullptr);
      int active = 0;
      const bool runs = cudaOccupancyMaxActiveClusters(&active, kernel, &launch.config) == cudaSuccess && active > 0;
      most[device] = runs ? cluster : 1;
    }
    cudaGetLastError();  // a question that was refused is no failure of the launch that follows
  });
  return most[device];
}

template <class G, int WIDTH, bool STEP>
void launch_accumulate(const AccumulateArguments& a, cudaStream_t stream) {
  int cluster = 1;
  while (cluster < kMostCluster && a.step.size / WIDTH > cluster * kShare) {
    cluster *= 2;
  }
  cluster = cluster == 1 ? 1 : std::min(cluster, most_blocks<G, WIDTH, STEP>());
  if (cluster == 1) {
    accumulate_kernel<G, WIDTH, STEP, false><<<blocks_of(a.step.rows, 1), kAccumulateThreads, 0, stream>>>(a);
  } else {
    const ClusterLaunch launch(blocks_of(a.step.rows, cluster), cluster, kAccumulateThreads, 0, stream);
    cudaLaunchKernelEx(&launch.config, accumulate_kernel<G, WIDTH, STEP, true>, a);
  }
}

template <bool STEP>
void launch_for(GradType grad, const AccumulateArguments& a, cudaStream_t stream) {
  for_grad(grad, a.step, [&]<class G, int WIDTH>() {
    if constexpr (!std::is_same_v<G, NoGrad>) {
      if (WIDTH == 1 || aligned(a.momentum, 16)) {
        launch_accumulate<G, WIDTH, STEP>(a, stream);
      } else {
        launch_accumulate<G, 1, STEP>(a, stream);
      }
    }
  });
}

}  // namespace

void launch_linf_accumulated_step(GradType grad, const AccumulateArguments& a, cudaStream_t stream) {
  launch_for<true>(grad, a, stream);
}

// The plain step follows on the stream, and reads the momentum as its gradient.
void launch_l2_accumulated_step(GradType grad, const AccumulateArguments& a, cudaStream_t stream) {
  launch_for<false>(grad, a, stream);
  StepArguments step = a.step;
  step.grad = a.momentum;
  launch_l2_step(GradType::kFloat, step, stream);
}

}  // namespace featlab
