// The CUDA operators of Auto-PGD: arguments are checked, then a kernel is launched on PyTorch's current stream.
#include "apgd_launch.h"
#include "dispatch.h"

namespace featlab {
namespace {

using LaunchMomentum = void (*)(const MomentumArguments&, cudaStream_t);

void run_momentum(const MomentumArguments& arguments, const Tensor& out, LaunchMomentum launch) {
  if (out.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(out.get_device_index());
  launch(arguments, current_stream(out));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

MomentumArguments arguments_of(const char* op, const Tensor& points, const Tensor& grad, const Tensor& center,
                               Tensor& previous, Tensor& best, Tensor& best_grad, const Tensor& improved,
                               const Tensor& back, const Tensor& eps, const Tensor& step_size, const Tensor& alpha,
                               Box box, Tensor& out) {
  const Batch batch = batch_of(op, out);
  check_like(op, out, {&points, &grad, &center, &previous, &best, &best_grad});
  check_float(op, {&points, &grad, &center, &previous, &best, &best_grad});
  return {batch.rows,
          batch.size,
          points.const_data_ptr<float>(),
          grad.const_data_ptr<float>(),
          center.const_data_ptr<float>(),
          previous.mutable_data_ptr<float>(),
          best.mutable_data_ptr<float>(),
          best_grad.mutable_data_ptr<float>(),
          out.mutable_data_ptr<float>(),
          values_of(op, eps, out),
          values_of(op, step_size, out),
          values_of(op, alpha, out),
          verdicts(op, improved, out),
          verdicts(op, back, out),
          box};
}

void linf_momentum_step(Tensor points, Tensor grad, Tensor center, Tensor previous, Tensor best, Tensor best_grad,
                        Tensor improved, Tensor back, Tensor eps, Tensor step_size, Tensor alpha, double low,
                        double high, Tensor out) {
  const char* op = "featlab::linf_momentum_step";
  run_momentum(arguments_of(op, points, grad, center, previous, best, best_grad, improved, back, eps, step_size, alpha,
                            box_of(low, high), out),
               out, launch_linf_momentum_step);
}

void l2_momentum_step(Tensor points, Tensor grad, Tensor center, Tensor previous, Tensor best, Tensor best_grad,
                      Tensor improved, Tensor back, Tensor eps, Tensor step_size, Tensor alpha, double low, double high,
                      Tensor out) {
  const char* op = "featlab::l2_momentum_step";
  run_momentum(arguments_of(op, points, grad, center, previous, best, best_grad, improved, back, eps, step_size, alpha,
                            box_of(low, high), out),
               out, launch_l2_momentum_step);
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CUDA, m) {
  m.impl("linf_momentum_step", TORCH_BOX(&featlab::linf_momentum_step));
  m.impl("l2_momentum_step", TORCH_BOX(&featlab::l2_momentum_step));
}
