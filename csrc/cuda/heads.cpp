// The CUDA operators of the losses: arguments are checked, then a kernel is launched on PyTorch's current stream.
#include "../common/head_arguments.h"
#include "dispatch.h"
#include "heads_launch.h"

namespace featlab {
namespace {

void run_head(const char* op, Loss loss, const Tensor& logits, const Tensor& labels, const Tensor& targets,
              const Tensor& value, const Tensor& margin, const Tensor& correct, const Tensor& cotangent) {
  const HeadBatch batch = head_batch(op, loss, logits, labels, targets, value, margin, correct, cotangent);
  const GradType type = type_of(op, logits);
  if (logits.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(logits.get_device_index());
  launch_head(type,
              {loss, batch.rows, batch.classes, batch.logits, batch.labels, batch.targets, batch.cotangent, batch.value,
               batch.margin, batch.correct},
              current_stream(logits));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
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

STABLE_TORCH_LIBRARY_IMPL(featlab, CUDA, m) {
  m.impl("cross_entropy_head", TORCH_BOX(&featlab::head<featlab::Loss::kCrossEntropy>));
  m.impl("log_ratio_head", TORCH_BOX(&featlab::head<featlab::Loss::kLogRatio>));
  m.impl("margin_head", TORCH_BOX(&featlab::head<featlab::Loss::kMargin>));
  m.impl("dlr_head", TORCH_BOX(&featlab::head<featlab::Loss::kDlr>));
  m.impl("dlr_targeted_head", TORCH_BOX(&featlab::dlr_targeted_head));
}
