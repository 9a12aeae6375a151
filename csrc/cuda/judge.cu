// Auto-PGD's bookkeeping: one thread per example.
#include "judge.h"

namespace featlab {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kBlocks = 4096;

__global__ void __launch_bounds__(kThreads) judge_kernel(JudgeArguments a) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t row = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x; row < a.rows; row += step) {
    judge(a, row);
  }
}

}  // namespace

void launch_apgd_judge(const JudgeArguments& a, cudaStream_t stream) {
  const int64_t blocks = (a.rows + kThreads - 1) / kThreads;
  judge_kernel<<<static_cast<unsigned>(blocks < kBlocks ? blocks : kBlocks), kThreads, 0, stream>>>(a);
}

}  // namespace featlab
