// The CPU operator of Auto-PGD's bookkeeping: a few numbers per example, which are worth no second thread.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "../common/judge_arguments.h"

namespace featlab {
namespace {

void apgd_judge(Tensor scores, Tensor windows, double rho, double alpha, Tensor number, Tensor score, Tensor best_score,
                Tensor checked_score, Tensor rises, Tensor factor, Tensor halved, Tensor improved, Tensor back,
                Tensor share) {
  const JudgeArguments arguments = judge_arguments_of(
      {scores, windows, number, score, best_score, checked_score, rises, factor, halved, improved, back, share}, rho,
      alpha);
  for (int64_t row = 0; row < arguments.rows; ++row) {
    judge(arguments, row);
  }
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CPU, m) {
  m.impl("apgd_judge", TORCH_BOX(&featlab::apgd_judge));
}
