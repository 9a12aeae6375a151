// The l2 kernels. A step needs three sums over the example before it can move a single value of it. Three forms:
//
// - held: a block keeps its example in registers;
// - copied: a block, or a cluster of blocks on sm_90 and later, keeps it in shared memory. So much fits that two blocks
//   run on a multiprocessor, and one computes while the other reads. Blocks of a cluster exchange sums only;
// - streamed: a block reads its example twice, 28 bytes an element instead of 16. For what fits no other form.
//
// The form depends on the size of an example, the type of its gradient, its alignment and the device, never on the
// batch. A thread sums its packs in their order, then threads, warps and blocks are folded in a fixed order.
#include <mutex>
#include <type_traits>

#include "clusters.cuh"
#include "examples.cuh"
#include "step.cuh"
#include "sums.cuh"

namespace featlab {
namespace {

// The offsets are those of l2_apply_single.
template <class EXAMPLE, class REDUCTION>
__device__ Sums sums_of(const EXAMPLE& example, REDUCTION& reduce) {
  double sums[3] = {0.0, 0.0, 0.0};
  example.for_packs([&](int64_t, const auto& points, const auto& grad, const auto& center) {
#pragma unroll
    for (int j = 0; j < points.kWidth; ++j) {
      const double g = value_of(grad.value[j]);
      const double offset = static_cast<double>(points.value[j] - center.value[j]);
      sums[0] += g * g;
      sums[1] += offset * g;
      sums[2] += offset * offset;
    }
  });
  reduce(sums);
  return {sums[0], sums[1], sums[2]};
}

// |d + along g|^2 with offsets that are not rounded.
template <class EXAMPLE, class REDUCTION>
__device__ double moved_squared(const EXAMPLE& example, double along, REDUCTION& reduce) {
  double sum = 0.0;
  example.for_packs([&](int64_t, const auto& points, const auto& grad, const auto& center) {
#pragma unroll
    for (int j = 0; j < points.kWidth; ++j) {
      const double offset = static_cast<double>(points.value[j]) - static_cast<double>(center.value[j]);
      const double travel = along * static_cast<double>(value_of(grad.value[j]));
      const double moved = along == 0.0 ? offset : offset + travel;  // 0 * NaN must not enter
      sum += moved * moved;
    }
  });
  return reduce(sum);
}

template <class G, class EXAMPLE, class REDUCTION>
__device__ Plan plan_of(const EXAMPLE& example, float eps, float step, REDUCTION& reduce) {
  if constexpr (std::is_same_v<G, NoGrad>) {
    return l2_plan(moved_squared(example, 0.0, reduce), 0.0, eps);
  } else {
    const Sums sums = sums_of(example, reduce);
    const double along = l2_along(sums.gg, step);
    const Squared moved = l2_moved(sums, along);
    const bool cancelled = along != 0.0 && moved.cancelled;
    const bool rough = cancelled || std::is_same_v<G, double>;  // which float would round
    return l2_plan(along == 0.0 || cancelled ? moved_squared(example, along, reduce) : moved.value, along, eps, rough);
  }
}

template <class G>
__device__ __forceinline__ float moved_point(const Plan& plan, float point, const G& grad, float center, Box box) {
  if (plan.keep) {
    return clip(point, box);
  }
  if (plan.single) {
    const float along = plan.along == 0.0 ? 0.0F : static_cast<float>(value_of(grad));
    return l2_apply_single(plan, point, along, center, box);
  }
  return l2_apply(plan, point, static_cast<double>(value_of(grad)), center, box);
}

template <class G, class EXAMPLE, class REDUCTION>
__device__ __forceinline__ void step_example(const EXAMPLE& example, const StepArguments& a, int64_t row,
                                             REDUCTION& reduce) {
  const Plan plan = plan_of<G>(example, valid_radius(a.eps[row]), a.step[row], reduce);
  example.for_packs([&](int64_t i, auto points, const auto& grad, const auto& center) {
#pragma unroll
    for (int j = 0; j < points.kWidth; ++j) {
      points.value[j] = moved_point(plan, points.value[j], grad.value[j], center.value[j], a.box);
    }
    store(example.out, i, points);
  });
}

template <class G, int WIDTH>
__global__ void __launch_bounds__(kThreads) l2_streamed_kernel(StepArguments a) {
  __shared__ Scratch<kThreads, 1> scratch;
  Reduction<kThreads, 1> reduce(scratch);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    step_example<G>(Streamed<G, WIDTH>(a, row), a, row, reduce);
  }
}

template <class G>
__global__ void __launch_bounds__(kThreads, kHeldBlocks) l2_held_kernel(StepArguments a) {
  __shared__ Scratch<kThreads, 1> scratch;
  Reduction<kThreads, 1> reduce(scratch);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    step_example<G>(Held<G>(a, row), a, row, reduce);
  }
}

template <class G, bool CLUSTERS>
__global__ void __launch_bounds__(kWide, 2) l2_copied_kernel(StepArguments a) {
  extern __shared__ __align__(16) uint8_t memory[];
  if constexpr (!CLUSTERS || FEATLAB_CLUSTERS) {
    constexpr int kCluster = CLUSTERS ? kMostCluster : 1;
    __shared__ Scratch<kWide, kCluster> scratch;
    Reduction<kWide, kCluster> reduce(scratch);
    const Place place = place_in_cluster<CLUSTERS>();
    for (int64_t row = blockIdx.x / place.blocks; row < a.rows; row += gridDim.x / place.blocks) {
      step_example<G>(Copied<G>(a, row, place, memory), a, row, reduce);
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

// What a device lets the copied form have: bytes of shared memory, and blocks in a cluster (1: no clusters) where each
// takes kWanted bytes, or all that there are.
struct Limits {
  int room = 0, cluster = 1, full_cluster = 1;
};

// Lets a kernel have so much shared memory, and asks for multiprocessors that give theirs up for it.
template <class Kernel>
bool has_room(Kernel* kernel, int room) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, room) == cudaSuccess &&
         cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared) ==
             cudaSuccess;
}

// Whether the device has clusters for the kernel, which may have what it wants.
template <class G>
bool has_clusters(int device, int room) {
  const auto kernel = l2_copied_kernel<G, true>;
  return runs_in_clusters(kernel, device) && has_room(kernel, room);
}

template <class G>
int largest_cluster(int bytes) {
  for (int cluster = kMostCluster; cluster > 1; cluster /= 2) {
    const ClusterLaunch launch(static_cast<unsigned>(cluster), cluster, kWide, bytes, nullptr);
    int active = 0;
    if (cudaOccupancyMaxActiveClusters(&active, l2_copied_kernel<G, true>, &launch.config) == cudaSuccess &&
        active > 0) {
      return cluster;
    }
  }
  return 1;
}

template <class G>
Limits asked(int device) {
  Limits limits;
  int room = 0;
  if (cudaDeviceGetAttribute(&room, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess) {
    room -= static_cast<int>(sizeof(Scratch<kWide, kMostCluster>));
    if (has_room(l2_copied_kernel<G, false>, room)) {
      limits.room = room;
    }
    if (limits.room > 0 && has_clusters<G>(device, room)) {
      limits.cluster = largest_cluster<G>(std::min(room, kWanted));
      limits.full_cluster = largest_cluster<G>(room);
    }
  }
  cudaGetLastError();  // a question that was refused is no failure of the launch that follows
  return limits;
}

// The limits of the current device, which is asked once.
template <class G>
Limits limits_of_device() {
  static std::once_flag once[kMostDevices];
  static Limits limits[kMostDevices];
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device >= kMostDevices) {
    return {};
  }
  std::call_once(once[device], [&] { limits[device] = asked<G>(device); });
  return limits[device];
}

// The smallest cluster whose blocks run two at a time, or the largest whose blocks run one at a time; 0 if none do.
template <class G>
int cluster_for(int64_t size, Limits limits) {
  if (size > int64_t{kMostCluster} * limits.room) {  // far too large, and more than an int counts
    return 0;
  }
  for (int cluster = 1; cluster <= limits.cluster; cluster *= 2) {
    if (share_of(size, cluster) * kPackBytes<G> <= std::min(limits.room, kWanted)) {
      return cluster;
    }
  }
  return share_of(size, limits.full_cluster) * kPackBytes<G> <= limits.room ? limits.full_cluster : 0;
}

// Launches the form that reads memory once, and returns whether there is one.
template <class G>
bool launched_once(const StepArguments& a, cudaStream_t stream) {
  if constexpr (!std::is_same_v<G, double>) {  // which would take too many registers
    if (a.size <= kMostHeld) {
      l2_held_kernel<G><<<blocks_of(a.rows, 1), kThreads, 0, stream>>>(a);
      return true;
    }
  }
  const int cluster = cluster_for<G>(a.size, limits_of_device<G>());
  if (cluster == 0) {
    return false;
  }
  const int bytes = share_of(a.size, cluster) * kPackBytes<G>;
  if (cluster == 1) {
    l2_copied_kernel<G, false><<<blocks_of(a.rows, 1), kWide, static_cast<size_t>(bytes), stream>>>(a);
  } else {
    const ClusterLaunch launch(blocks_of(a.rows, cluster), cluster, kWide, bytes, stream);
    cudaLaunchKernelEx(&launch.config, l2_copied_kernel<G, true>, a);
  }
  return true;
}

}  // namespace

void launch_l2_step(GradType grad, const StepArguments& a, cudaStream_t stream) {
  for_grad(grad, a, [&]<class G, int WIDTH>() {
    if constexpr (WIDTH == 4) {
      if (launched_once<G>(a, stream)) {
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
