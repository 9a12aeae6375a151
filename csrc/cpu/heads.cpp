// The CPU operators of the losses: arguments are checked, then examples are shared out among PyTorch's threads.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "../common/head_arguments.h"
#include "dispatch.h"
#include "heads_kernels.h"

namespace featlab {
namespace {

const HeadKernels& head_kernels() {
  static const Isa isa = chosen_isa();
#if defined(__x86_64__)
  if (isa != Isa::kBaseline) {
    return isa == Isa::kAvx512 ? avx512::head_kernels : avx2::head_kernels;
  }
#endif
  return baseline::head_kernels;
}

void check_classes(const char* op, const int64_t* classes, const HeadBatch& batch) {
  for (int64_t row = 0; row < batch.rows; ++row) {
    STD_TORCH_CHECK(classes[row] >= 0 && classes[row] < batch.classes, op, ": class ", classes[row],
                    " is out of range, the logits have ", batch.classes, " classes.");
  }
}

void run_head(const char* op, Loss loss, const Tensor& logits, const Tensor& labels, const Tensor& targets,
              const Tensor& value, const Tensor& margin, const Tensor& correct, const Tensor& cotangent) {
  const HeadBatch batch = head_batch(op, loss, logits, labels, targets, value, margin, correct, cotangent);
  check_classes(op, batch.labels, batch);
  check_classes(op, batch.targets, batch);
  const auto kernel = head_kernels().head[kind_of(op, logits)];
  const int64_t stride = batch.classes * static_cast<int64_t>(logits.element_size());
  const int64_t share = std::max<int64_t>(1, kGrain / 4 / std::max<int64_t>(1, batch.classes));
  torch::stable::parallel_for(0, batch.rows, share, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      kernel({loss, batch.classes, batch.labels[row], batch.targets[row],
              static_cast<const char*>(batch.logits) + row * stride, static_cast<char*>(batch.cotangent) + row * stride,
              batch.value + row, batch.margin + row, batch.correct + row});
    }
  });
}

template <Loss LOSS>
void head(Tensor logits, Tensor labels, Tensor value, Tensor margin, Tensor correct, Tensor cotangent) {
  run_head("featlab::head", LOSS, logits, labels, labels, value, margin, correct, cotangent);
}

void dlr_targeted_head(Tensor logits, Tensor labels, Tensor targets, Tensor value, Tensor margin, Tensor correct,
                       Tensor cotangent) {
  run_head("featlab::dlr_targeted_head", Loss::kDlrTargeted, logits, labels, targets, value, margin, correct,
           cotangent);
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CPU, m) {
  m.impl("cross_entropy_head", TORCH_BOX(&featlab::head<featlab::Loss::kCrossEntropy>));
  m.impl("log_ratio_head", TORCH_BOX(&featlab::head<featlab::Loss::kLogRatio>));
  m.impl("margin_head", TORCH_BOX(&featlab::head<featlab::Loss::kMargin>));
  m.impl("dlr_head", TORCH_BOX(&featlab::head<featlab::Loss::kDlr>));
  m.impl("dlr_targeted_head", TORCH_BOX(&featlab::dlr_targeted_head));
}
