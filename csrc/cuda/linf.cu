// The linf kernels: every element by itself. Blocks in x share an example, blocks in y are examples.
#include "step.cuh"

namespace featlab {
namespace {

constexpr int kThreads = 256;

template <class G, int WIDTH>
__global__ void __launch_bounds__(kThreads) linf_step_kernel(StepArguments a) {
  const int64_t packs = a.size / WIDTH;
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const float eps = valid_radius(a.eps[row]), step = a.step[row];
    const int64_t at = row * packs;
    for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < packs; i += gridDim.x * int64_t{kThreads}) {
      Pack<float, WIDTH> points = load<WIDTH>(a.points, at + i);
      const Pack<float, WIDTH> center = load<WIDTH>(a.center, at + i);
      const Pack<G, WIDTH> grad = load<WIDTH>(static_cast<const G*>(a.grad), at + i);
#pragma unroll
      for (int j = 0; j < WIDTH; ++j) {
        const float moved = points.value[j] + sign_step(value_of(grad.value[j]), step);
        points.value[j] = clip(moved, linf_interval(center.value[j], eps, a.box));
      }
      store<WIDTH>(a.out, at + i, points);
    }
  }
}

__global__ void __launch_bounds__(kThreads) linf_sample_kernel(SampleArguments a) {
  const int64_t blocks = (a.size + 3) / 4;
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const float eps = valid_radius(a.eps[row]);
    const Stream stream = {a.seed, static_cast<uint64_t>(a.examples[row]), a.restart, kUniform};
    for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < blocks; i += gridDim.x * int64_t{kThreads}) {
      const Words words = draw(stream, static_cast<uint32_t>(i));
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int64_t at = row * a.size + 4 * i + j;
        if (4 * i + j < a.size) {
          a.out[at] = linf_draw(words.word[j], a.center[at], eps, a.box);
        }
      }
    }
  }
}

dim3 grid_of(int64_t rows, int64_t items) {
  const int64_t across = std::min<int64_t>((items + kThreads - 1) / kThreads, 1 << 20);
  return {static_cast<unsigned>(across), static_cast<unsigned>(std::min(rows, kMostBlocks)), 1};
}

}  // namespace

void launch_linf_step(GradType grad, const StepArguments& a, cudaStream_t stream) {
  for_grad(grad, a, [&]<class G, int WIDTH>() {
    linf_step_kernel<G, WIDTH><<<grid_of(a.rows, a.size / WIDTH), kThreads, 0, stream>>>(a);
  });
}

void launch_linf_sample(const SampleArguments& a, cudaStream_t stream) {
  linf_sample_kernel<<<grid_of(a.rows, (a.size + 3) / 4), kThreads, 0, stream>>>(a);
}

}  // namespace featlab
