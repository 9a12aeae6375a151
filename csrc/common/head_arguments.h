// What the operators of the losses demand of their tensors, said once for both devices. Host code only.
#pragma once

#include "arguments.h"
#include "heads.h"

namespace featlab {

struct HeadBatch {
  int64_t rows, classes;
  const void* logits;
  const int64_t *labels, *targets;
  float *value, *margin;
  bool* correct;
  void* cotangent;
};

inline void check_each(const char* op, const Tensor& each, const Tensor& logits, ScalarType type) {
  STD_TORCH_CHECK(each.scalar_type() == type, op, ": value and margin must be float32, correct bool.");
  STD_TORCH_CHECK(each.device() == logits.device(), op, ": all tensors must be on one device.");
  STD_TORCH_CHECK(each.dim() == 1 && each.size(0) == logits.size(0) && each.is_contiguous(), op,
                  ": one number per example, contiguous.");
}

inline HeadBatch head_batch(const char* op, Loss loss, const Tensor& logits, const Tensor& labels,
                            const Tensor& targets, const Tensor& value, const Tensor& margin, const Tensor& correct,
                            const Tensor& cotangent) {
  STD_TORCH_CHECK(logits.dim() == 2 && logits.is_contiguous(), op, ": logits must be (batch, classes), contiguous.");
  STD_TORCH_CHECK(cotangent.is_contiguous(), op, ": the cotangent must be contiguous.");
  STD_TORCH_CHECK(cotangent.scalar_type() == logits.scalar_type(), op, ": the cotangent has the type of the logits.");
  STD_TORCH_CHECK(logits.scalar_type() != ScalarType::Double, op, ": the native kernel works on logits up to float32.");
  check_like(op, logits, {&cotangent});
  check_each(op, value, logits, ScalarType::Float);
  check_each(op, margin, logits, ScalarType::Float);
  check_each(op, correct, logits, ScalarType::Bool);
  const int64_t least = loss == Loss::kDlr ? 3 : (loss == Loss::kDlrTargeted ? 4 : 1);
  STD_TORCH_CHECK(logits.size(1) >= least, op, ": the loss needs at least ", least, " classes.");
  return {logits.size(0),
          logits.size(1),
          logits.const_data_ptr(),
          identities(op, labels, logits),
          identities(op, targets, logits),
          value.mutable_data_ptr<float>(),
          margin.mutable_data_ptr<float>(),
          correct.mutable_data_ptr<bool>(),
          cotangent.mutable_data_ptr()};
}

}  // namespace featlab
