// The CUDA operator of Auto-PGD's bookkeeping: arguments are checked, then a kernel is launched on the current stream.
#include "judge.h"

#include "../common/judge_arguments.h"
#include "dispatch.h"

namespace featlab {
namespace {

void apgd_judge(Tensor scores, Tensor windows, double rho, double alpha, Tensor number, Tensor score, Tensor best_score,
                Tensor checked_score, Tensor rises, Tensor factor, Tensor halved, Tensor improved, Tensor back,
                Tensor share) {
  const JudgeArguments arguments = judge_arguments_of(
      {scores, windows, number, score, best_score, checked_score, rises, factor, halved, improved, back, share}, rho,
      alpha);
  if (arguments.rows == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(scores.get_device_index());
  launch_apgd_judge(arguments, current_stream(scores));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CUDA, m) {
  m.impl("apgd_judge", TORCH_BOX(&featlab::apgd_judge));
}
