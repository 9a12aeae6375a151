// What the operator of Auto-PGD's bookkeeping demands of its tensors, said once for both devices. Host code only.
#pragma once

#include "arguments.h"
#include "judge.h"

namespace featlab {

struct JudgeTensors {
  const Tensor &scores, &windows;
  Tensor &number, &score, &best_score, &checked_score, &rises, &factor, &halved, &improved, &back, &share;
};

inline void check_entries(const Tensor& scores, const Tensor& tensor, ScalarType type) {
  STD_TORCH_CHECK(tensor.scalar_type() == type,
                  "featlab::apgd_judge: scores are float32, number is int64, verdicts are",
                  " bool, all else is float64.");
  STD_TORCH_CHECK(tensor.device() == scores.device(), "featlab::apgd_judge: all tensors must be on one device.");
  STD_TORCH_CHECK(tensor.dim() == 1 && tensor.numel() == scores.numel() && tensor.is_contiguous(),
                  "featlab::apgd_judge: one entry for each score, contiguous.");
}

inline JudgeArguments judge_arguments_of(const JudgeTensors& t, double rho, double alpha) {
  check_entries(t.scores, t.scores, ScalarType::Float);
  check_entries(t.scores, t.number, ScalarType::Long);
  for (const Tensor* each : {&t.score, &t.best_score, &t.checked_score, &t.rises, &t.factor, &t.share}) {
    check_entries(t.scores, *each, ScalarType::Double);
  }
  for (const Tensor* each : {&t.halved, &t.improved, &t.back}) {
    check_entries(t.scores, *each, ScalarType::Bool);
  }
  STD_TORCH_CHECK(t.windows.scalar_type() == ScalarType::Double && t.windows.device() == t.scores.device(),
                  "featlab::apgd_judge: windows must be float64, beside the scores.");
  STD_TORCH_CHECK(t.windows.dim() == 2 && t.windows.size(0) == t.scores.numel() &&
                      (t.windows.size(1) <= 1 || t.windows.stride(1) == 1),
                  "featlab::apgd_judge: one row of windows for each score, each dense.");
  return {t.scores.numel(),
          t.windows.size(1),
          t.windows.stride(0),
          rho,
          alpha,
          t.scores.const_data_ptr<float>(),
          t.windows.const_data_ptr<double>(),
          t.number.mutable_data_ptr<int64_t>(),
          t.score.mutable_data_ptr<double>(),
          t.best_score.mutable_data_ptr<double>(),
          t.checked_score.mutable_data_ptr<double>(),
          t.rises.mutable_data_ptr<double>(),
          t.factor.mutable_data_ptr<double>(),
          t.halved.mutable_data_ptr<bool>(),
          t.improved.mutable_data_ptr<bool>(),
          t.back.mutable_data_ptr<bool>(),
          t.share.mutable_data_ptr<double>()};
}

}  // namespace featlab
