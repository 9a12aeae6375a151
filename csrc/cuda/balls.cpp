// The CUDA operators in the balls: arguments are checked, then a kernel is launched on PyTorch's current stream.
#include "dispatch.h"

namespace featlab {
namespace {

using LaunchStep = void (*)(GradType, const StepArguments&, cudaStream_t);
using LaunchSample = void (*)(const SampleArguments&, cudaStream_t);

// `grad` and `step_size` are null where nothing is to be climbed.
void run_step(const char* op, const Tensor& points, const Tensor* grad, const Tensor& center, const Tensor& eps,
              const Tensor* step_size, Box box, const Tensor& out, LaunchStep launch) {
  const Batch batch = batch_of(op, out);
  check_like(op, out, {&points, &center});
  check_float(op, {&points, &center});
  StepArguments arguments = {batch.rows,
                             batch.size,
                             points.const_data_ptr<float>(),
                             center.const_data_ptr<float>(),
                             nullptr,
                             out.mutable_data_ptr<float>(),
                             values_of(op, eps, out),
                             values_of(op, step_size == nullptr ? eps : *step_size, out),
                             box};
  GradType type = GradType::kNone;
  if (grad != nullptr) {
    check_like(op, out, {grad});
    type = type_of(op, *grad);
    arguments.grad = grad->const_data_ptr();
  }
  if (out.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(out.get_device_index());
  launch(type, arguments, current_stream(out));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

using LaunchAccumulated = void (*)(GradType, const AccumulateArguments&, cudaStream_t);

void run_accumulated(const char* op, const Tensor& points, const Tensor& grad, const Tensor& center, Tensor& momentum,
                     const Tensor& eps, const Tensor& step_size, const Tensor& decay, Box box, Tensor& out,
                     LaunchAccumulated launch) {
  const Batch batch = batch_of(op, out);
  check_like(op, out, {&points, &center, &grad, &momentum});
  check_float(op, {&points, &center, &momentum});
  const AccumulateArguments arguments = {
      {batch.rows, batch.size, points.const_data_ptr<float>(), center.const_data_ptr<float>(), grad.const_data_ptr(),
       out.mutable_data_ptr<float>(), values_of(op, eps, out), values_of(op, step_size, out), box},
      momentum.mutable_data_ptr<float>(),
      values_of(op, decay, out)};
  const GradType type = type_of(op, grad);
  if (out.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(out.get_device_index());
  launch(type, arguments, current_stream(out));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

void linf_accumulated_step(Tensor points, Tensor grad, Tensor center, Tensor momentum, Tensor eps, Tensor step_size,
                           Tensor decay, double low, double high, Tensor out) {
  run_accumulated("featlab::linf_accumulated_step", points, grad, center, momentum, eps, step_size, decay,
                  box_of(low, high), out, launch_linf_accumulated_step);
}

void l2_accumulated_step(Tensor points, Tensor grad, Tensor center, Tensor momentum, Tensor eps, Tensor step_size,
                         Tensor decay, double low, double high, Tensor out) {
  run_accumulated("featlab::l2_accumulated_step", points, grad, center, momentum, eps, step_size, decay,
                  box_of(low, high), out, launch_l2_accumulated_step);
}

void run_sample(const char* op, const Tensor& center, const Tensor& eps, const Tensor& examples, int64_t seed,
                int64_t restart, Box box, const Tensor& out, LaunchSample launch) {
  const Batch batch = batch_of(op, out);
  check_like(op, out, {&center});
  check_float(op, {&center});
  const SampleArguments arguments = {batch.rows,
                                     batch.size,
                                     center.const_data_ptr<float>(),
                                     out.mutable_data_ptr<float>(),
                                     values_of(op, eps, out),
                                     identities(op, examples, out),
                                     static_cast<uint64_t>(seed),
                                     static_cast<uint32_t>(restart),
                                     box};
  if (out.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(out.get_device_index());
  launch(arguments, current_stream(out));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

void linf_step(Tensor points, Tensor grad, Tensor center, Tensor eps, Tensor step_size, double low, double high,
               Tensor out) {
  run_step("featlab::linf_step", points, &grad, center, eps, &step_size, box_of(low, high), out, launch_linf_step);
}

void linf_project(Tensor points, Tensor center, Tensor eps, double low, double high, Tensor out) {
  run_step("featlab::linf_project", points, nullptr, center, eps, nullptr, box_of(low, high), out, launch_linf_step);
}

void linf_sample(Tensor center, Tensor eps, Tensor examples, int64_t seed, int64_t restart, double low, double high,
                 Tensor out) {
  run_sample("featlab::linf_sample", center, eps, examples, seed, restart, box_of(low, high), out, launch_linf_sample);
}

void l2_step(Tensor points, Tensor grad, Tensor center, Tensor eps, Tensor step_size, double low, double high,
             Tensor out) {
  run_step("featlab::l2_step", points, &grad, center, eps, &step_size, box_of(low, high), out, launch_l2_step);
}

void l2_project(Tensor points, Tensor center, Tensor eps, double low, double high, Tensor out) {
  run_step("featlab::l2_project", points, nullptr, center, eps, nullptr, box_of(low, high), out, launch_l2_step);
}

void l2_sample(Tensor center, Tensor eps, Tensor examples, int64_t seed, int64_t restart, double low, double high,
               Tensor out) {
  run_sample("featlab::l2_sample", center, eps, examples, seed, restart, box_of(low, high), out, launch_l2_sample);
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CUDA, m) {
  m.impl("linf_step", TORCH_BOX(&featlab::linf_step));
  m.impl("linf_project", TORCH_BOX(&featlab::linf_project));
  m.impl("linf_sample", TORCH_BOX(&featlab::linf_sample));
  m.impl("l2_step", TORCH_BOX(&featlab::l2_step));
  m.impl("l2_project", TORCH_BOX(&featlab::l2_project));
  m.impl("l2_sample", TORCH_BOX(&featlab::l2_sample));
  m.impl("linf_accumulated_step", TORCH_BOX(&featlab::linf_accumulated_step));
  m.impl("l2_accumulated_step", TORCH_BOX(&featlab::l2_accumulated_step));
}
