// The l2 kernels. A step needs three sums over the example before it can move a single value of it. Three forms:
//
// - held: a block keeps its example in registers, so that memory is read once (16 bytes an element instead of 28);
// - held by a cluster of blocks, which exchange their sums through distributed shared memory: on sm_90 and later;
// - streamed: a block reads its example twice. For what fits no other form, and gradients in double.
//
// The form depends on the size of an example (and on its alignment and the device), never on the batch. A thread sums
// its packs in their order, then threads, warps and blocks are folded in a fixed order.
#include <atomic>
#include <type_traits>

#include "step.cuh"
#include "sums.cuh"

namespace featlab {
namespace {

constexpr int kThreads = 256;  // of a block that streams
constexpr int kMostDevices = 64;

// How an example is held: each of CLUSTER blocks of THREADS threads holds PACKS packs of four.
template <int THREADS, int PACKS, int CLUSTER>
struct Form {
  static constexpr int kThreads = THREADS, kPacks = PACKS, kCluster = CLUSTER;
  static constexpr int kAcross = THREADS * CLUSTER;
  static constexpr int64_t kMostElements = int64_t{4} * kAcross * kPacks;
};

using Small = Form<256, 3, 1>;     // 3072: 32 x 32 x 3
using Medium = Form<512, 6, 1>;    // 12288: 64 x 64 x 3
using Large = Form<512, 5, 8>;     // 81920: 160 x 160 x 3; 8 blocks is what every device with clusters can do
using Largest = Form<512, 5, 16>;  // 163840: 224 x 224 x 3

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

  // Calls visit(pack, points, grad, center) with this thread's packs.
  template <class Visit>
  __device__ __forceinline__ void for_packs(const Visit& visit) const {
    for (int64_t i = threadIdx.x; i < packs; i += kThreads) {
      visit(i, load<WIDTH>(points, i), load<WIDTH>(grad, i), load<WIDTH>(center, i));
    }
  }
};

template <class G, class FORM>
struct Held {
  Pack<float, 4> points[FORM::kPacks], center[FORM::kPacks];
  Pack<G, 4> grad[FORM::kPacks];
  float* out;
  int packs;

  __device__ Held(const StepArguments& a, int64_t row)
      : out(a.out + row * a.size), packs(static_cast<int>(a.size / 4)) {
    const int64_t at = row * a.size;
#pragma unroll
    for (int j = 0; j < FORM::kPacks; ++j) {
      if (const int i = pack(j); i < packs) {
        points[j] = load<4>(a.points + at, i);
        grad[j] = load<4>(static_cast<const G*>(a.grad) + at, i);
        center[j] = load<4>(a.center + at, i);
      }
    }
  }

  __device__ __forceinline__ static int pack(int j) {
    return j * FORM::kAcross + static_cast<int>(blockIdx.x % FORM::kCluster) * FORM::kThreads +
           static_cast<int>(threadIdx.x);
  }

  template <class Visit>
  __device__ __forceinline__ void for_packs(const Visit& visit) const {
#pragma unroll
    for (int j = 0; j < FORM::kPacks; ++j) {
      if (const int i = pack(j); i < packs) {
        visit(i, points[j], grad[j], center[j]);
      }
    }
  }
};

template <class EXAMPLE, class REDUCTION>
__device__ Sums sums_of(const EXAMPLE& example, REDUCTION& reduce) {
  double sums[3] = {0.0, 0.0, 0.0};
  example.for_packs([&](int64_t, const auto& points, const auto& grad, const auto& center) {
#pragma unroll
    for (int j = 0; j < points.kWidth; ++j) {
      const double g = value_of(grad.value[j]);
      const double offset = static_cast<double>(points.value[j]) - static_cast<double>(center.value[j]);
      sums[0] += g * g;
      sums[1] += offset * g;
      sums[2] += offset * offset;
    }
  });
  reduce(sums);
  return {sums[0], sums[1], sums[2]};
}

template <class EXAMPLE, class REDUCTION>
__device__ double moved_squared(const EXAMPLE& example, double along, REDUCTION& reduce) {
  double sum = 0.0;
  example.for_packs([&](int64_t, const auto& points, const auto& grad, const auto& center) {
#pragma unroll
    for (int j = 0; j < points.kWidth; ++j) {
      const double offset = static_cast<double>(points.value[j]) - static_cast<double>(center.value[j]);
      const double moved = offset + along * static_cast<double>(value_of(grad.value[j]));
      sum += moved * moved;
    }
  });
  return reduce(sum);
}

template <class EXAMPLE, class REDUCTION>
__device__ Plan plan_of(const EXAMPLE& example, float eps, float step, REDUCTION& reduce) {
  const Sums sums = sums_of(example, reduce);
  const double along = l2_along(sums.gg, step);
  if (along == 0.0) {
    return l2_plan(sums.dd, along, eps);
  }
  const Squared moved = l2_moved(sums, along);
  return l2_plan(moved.cancelled ? moved_squared(example, along, reduce) : moved.value, along, eps);
}

template <class EXAMPLE, class REDUCTION>
__device__ __forceinline__ void step_example(const EXAMPLE& example, const StepArguments& a, int64_t row,
                                             REDUCTION& reduce) {
  const Plan plan = plan_of(example, valid_radius(a.eps[row]), a.step[row], reduce);
  example.for_packs([&](int64_t i, auto points, const auto& grad, const auto& center) {
#pragma unroll
    for (int j = 0; j < points.kWidth; ++j) {
      const double g = value_of(grad.value[j]);
      points.value[j] =
          plan.keep ? clip(points.value[j], a.box) : l2_apply(plan, points.value[j], g, center.value[j], a.box);
    }
    store(example.out, i, points);
  });
}

template <class G, int WIDTH>
__global__ void __launch_bounds__(kThreads) l2_streamed_kernel(StepArguments a) {
  __shared__ Scratch<kThreads, 1> scratch;
  Reduction<kThreads, 1> reduce(scratch);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    step_example(Streamed<G, WIDTH>(a, row), a, row, reduce);
  }
}

template <class G, class FORM>
__global__ void __launch_bounds__(FORM::kThreads, FORM::kThreads == 256 ? 3 : 1) l2_held_kernel(StepArguments a) {
#if FEATLAB_CLUSTERS
  constexpr bool kServed = true;
#else
  constexpr bool kServed = FORM::kCluster == 1;
#endif
  if constexpr (kServed) {
    __shared__ Scratch<FORM::kThreads, FORM::kCluster> scratch;
    Reduction<FORM::kThreads, FORM::kCluster> reduce(scratch);
    for (int64_t row = blockIdx.x / FORM::kCluster; row < a.rows; row += gridDim.x / FORM::kCluster) {
      step_example(Held<G, FORM>(a, row), a, row, reduce);
    }
  } else {
    __trap();  // the launch asks first what the kernel was compiled for
  }
}

__device__ double normals_squared(const Stream& stream, int64_t size, Reduction<kThreads, 1>& reduce) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; 4 * i < size; i += kThreads) {
    const Normals drawn = normals(stream, static_cast<uint32_t>(i));
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      sum += 4 * i + j < size ? drawn.value[j] * drawn.value[j] : 0.0;
    }
  }
  return reduce(sum);
}

__global__ void __launch_bounds__(kThreads) l2_sample_kernel(SampleArguments a) {
  __shared__ Scratch<kThreads, 1> scratch;
  Reduction<kThreads, 1> reduce(scratch);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const float eps = valid_radius(a.eps[row]);
    const bool ball = is_finite(eps);
    const uint64_t example = static_cast<uint64_t>(a.examples[row]);
    const double length = ball ? l2_sample_length({a.seed, example, a.restart, kRadius}, eps, a.size) : 0.0;
    const Stream stream = {a.seed, example, a.restart, ball ? kNormal : kUniform};
    const double scale = ball ? length / sqrt(normals_squared(stream, a.size, reduce)) : 0.0;
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

unsigned blocks_of(int64_t rows, int cluster) {
  return static_cast<unsigned>(std::min<int64_t>(rows, (1 << 30) / cluster) * cluster);
}

template <class G, class FORM>
void launch_held(const StepArguments& a, cudaStream_t stream) {
  l2_held_kernel<G, FORM><<<blocks_of(a.rows, 1), FORM::kThreads, 0, stream>>>(a);
}

// What a launch of clusters is made of; it holds a pointer to its own attribute.
struct ClusterLaunch {
  cudaLaunchAttribute attribute = {};
  cudaLaunchConfig_t config = {};

  ClusterLaunch(unsigned blocks, int threads, int cluster, cudaStream_t stream) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = static_cast<unsigned>(cluster);
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    config.gridDim = dim3(blocks);
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
  }
  ClusterLaunch(const ClusterLaunch&) = delete;
};

// Whether a device has clusters of this form, and the kernel was compiled for such a device.
template <class G, class FORM>
bool asked(int device) {
  int clusters = 0, active = 0;
  cudaFuncAttributes compiled = {};
  const auto kernel = l2_held_kernel<G, FORM>;
  const ClusterLaunch launch(FORM::kCluster, FORM::kThreads, FORM::kCluster, nullptr);
  const bool known = cudaDeviceGetAttribute(&clusters, cudaDevAttrClusterLaunch, device) == cudaSuccess &&
                     cudaFuncGetAttributes(&compiled, kernel) == cudaSuccess;
  if (!known || clusters == 0 || compiled.ptxVersion < 90) {
    return false;
  }
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) == cudaSuccess &&
         cudaOccupancyMaxActiveClusters(&active, kernel, &launch.config) == cudaSuccess && active > 0;
}

// The same for the current device, which is asked once.
template <class G, class FORM>
bool has_clusters() {
  enum Answer : char { kNone, kYes, kNo };
  static std::atomic<Answer> answers[kMostDevices];
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= kMostDevices) {
    return false;
  }
  if (answers[device] == kNone) {
    answers[device] = asked<G, FORM>(device) ? kYes : kNo;
    if (answers[device] == kNo) {
      cudaGetLastError();  // a question that was refused is no failure of the launch that follows
    }
  }
  return answers[device] == kYes;
}

// Launches clusters of this form and says so, unless the device has none.
template <class G, class FORM>
bool launch_cluster(const StepArguments& a, cudaStream_t stream) {
  if (!has_clusters<G, FORM>()) {
    return false;
  }
  const ClusterLaunch launch(blocks_of(a.rows, FORM::kCluster), FORM::kThreads, FORM::kCluster, stream);
  cudaLaunchKernelEx(&launch.config, l2_held_kernel<G, FORM>, a);
  return true;
}

template <class G>
bool launched_held(const StepArguments& a, cudaStream_t stream) {
  if (a.size <= Small::kMostElements) {
    launch_held<G, Small>(a, stream);
    return true;
  }
  if (a.size <= Medium::kMostElements) {
    launch_held<G, Medium>(a, stream);
    return true;
  }
  if (a.size <= Large::kMostElements) {
    return launch_cluster<G, Large>(a, stream);
  }
  return a.size <= Largest::kMostElements && launch_cluster<G, Largest>(a, stream);
}

}  // namespace

void launch_l2_step(GradType grad, const StepArguments& a, cudaStream_t stream) {
  for_grad(grad, a, [&]<class G, int WIDTH>() {
    if constexpr (WIDTH == 4 && !std::is_same_v<G, double>) {
      if (launched_held<G>(a, stream)) {
        return;
      }
    }
    l2_streamed_kernel<G, WIDTH><<<blocks_of(a.rows, 1), kThreads, 0, stream>>>(a);
  });
}

void launch_l2_sample(const SampleArguments& a, cudaStream_t stream) {
  l2_sample_kernel<<<blocks_of(a.rows, 1), kThreads, 0, stream>>>(a);
}

}  // namespace featlab
