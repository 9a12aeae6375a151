// The CUDA operators that keep a loop's books: arguments are checked, then a kernel is launched on the current stream.
#include "bookkeeping.h"

#include "dispatch.h"

namespace featlab {
namespace {

void fingerprint(Tensor values, Tensor out) {
  const Batch batch = batch_of("featlab::fingerprint", values);
  int64_t* to = prints_of("featlab::fingerprint", values, out);
  if (values.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(values.get_device_index());
  launch_fingerprint({batch.rows, batch.size, values.const_data_ptr<float>(), to}, current_stream(values));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

void keep_better(Tensor values, Tensor take, Tensor index, Tensor best) {
  const Batch batch = batch_of("featlab::keep_better", values);
  const RowChoice choice = row_choice_of("featlab::keep_better", values, take, index, best);
  if (values.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(values.get_device_index());
  launch_keep_better({batch.rows, batch.size, values.const_data_ptr<float>(), choice.take, choice.index,
                      best.mutable_data_ptr<float>(), choice.rows},
                     current_stream(values));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CUDA, m) {
  m.impl("fingerprint", TORCH_BOX(&featlab::fingerprint));
  m.impl("keep_better", TORCH_BOX(&featlab::keep_better));
}
