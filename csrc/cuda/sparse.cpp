// The CUDA operators of the sparse family: arguments are checked, then a kernel is launched on PyTorch's current
// stream.
#include "sparse.h"

#include "../common/sparse_arguments.h"
#include "dispatch.h"

namespace featlab {
namespace {

constexpr Counts kNoCounts = {nullptr, 0};

SparseArguments arguments_of(const char* op, const Tensor& points, const Tensor& center, double low, double high,
                             const Tensor& out) {
  const Batch batch = batch_of(op, out);
  check_like(op, out, {&points, &center});
  check_float(op, {&points, &center});
  STD_TORCH_CHECK(batch.size < int64_t{1} << 31, op, ": an example may have 2^31 - 1 values at most.");
  return {batch.rows,
          batch.size,
          points.const_data_ptr<float>(),
          center.const_data_ptr<float>(),
          nullptr,
          out.mutable_data_ptr<float>(),
          {nullptr, 0},
          {nullptr, 0},
          kNoCounts,
          1,
          nullptr,
          0,
          0,
          box_of(low, high)};
}

GradType set_grad(const char* op, SparseArguments& arguments, const Tensor& grad, const Tensor& step_size,
                  const Tensor& out) {
  check_like(op, out, {&grad});
  arguments.grad = grad.const_data_ptr();
  arguments.step = values_of(op, step_size, out);
  return type_of(op, grad);
}

void set_groups(const char* op, SparseArguments& arguments, const Tensor& count, int64_t channels, const Tensor& out) {
  check_order(op, out);
  arguments.count = counts(op, count, out);
  arguments.channels = checked_channels(op, channels, {arguments.rows, arguments.size});
}

void set_key(const char* op, SparseArguments& arguments, const Tensor& examples, int64_t seed, int64_t restart,
             const Tensor& out) {
  arguments.examples = identities(op, examples, out);
  arguments.seed = static_cast<uint64_t>(seed);
  arguments.restart = static_cast<uint32_t>(restart);
}

template <class Launch>
void run(const Tensor& out, const Launch& launch) {
  if (out.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(out.get_device_index());
  launch(current_stream(out));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

void l1_step(Tensor points, Tensor grad, Tensor center, Tensor eps, Tensor step_size, Tensor count, double low,
             double high, Tensor out) {
  const char* op = "featlab::l1_step";
  SparseArguments arguments = arguments_of(op, points, center, low, high, out);
  const GradType type = set_grad(op, arguments, grad, step_size, out);
  set_groups(op, arguments, count, 1, out);
  arguments.eps = values_of(op, eps, out);
  run(out, [&](cudaStream_t stream) { launch_l1_step(type, arguments, stream); });
}

void l1_project(Tensor points, Tensor center, Tensor eps, double low, double high, Tensor out) {
  SparseArguments arguments = arguments_of("featlab::l1_project", points, center, low, high, out);
  arguments.eps = values_of("featlab::l1_project", eps, out);
  run(out, [&](cudaStream_t stream) { launch_l1_step(GradType::kNone, arguments, stream); });
}

void l1_sample(Tensor center, Tensor eps, Tensor examples, int64_t seed, int64_t restart, double low, double high,
               Tensor out) {
  const char* op = "featlab::l1_sample";
  SparseArguments arguments = arguments_of(op, center, center, low, high, out);
  arguments.eps = values_of(op, eps, out);
  set_key(op, arguments, examples, seed, restart, out);
  run(out, [&](cudaStream_t stream) { launch_l1_sample(arguments, stream); });
}

void l0_step(Tensor points, Tensor grad, Tensor center, Tensor count, Tensor step_size, int64_t channels, double low,
             double high, Tensor out) {
  const char* op = "featlab::l0_step";
  SparseArguments arguments = arguments_of(op, points, center, low, high, out);
  const GradType type = set_grad(op, arguments, grad, step_size, out);
  set_groups(op, arguments, count, channels, out);
  run(out, [&](cudaStream_t stream) { launch_l0_step(type, arguments, stream); });
}

void l0_project(Tensor points, Tensor center, Tensor count, int64_t channels, double low, double high, Tensor out) {
  const char* op = "featlab::l0_project";
  SparseArguments arguments = arguments_of(op, points, center, low, high, out);
  set_groups(op, arguments, count, channels, out);
  run(out, [&](cudaStream_t stream) { launch_l0_step(GradType::kNone, arguments, stream); });
}

void l0_sample(Tensor center, Tensor count, Tensor examples, int64_t seed, int64_t restart, int64_t channels,
               double low, double high, Tensor out) {
  const char* op = "featlab::l0_sample";
  SparseArguments arguments = arguments_of(op, center, center, low, high, out);
  set_groups(op, arguments, count, channels, out);
  set_key(op, arguments, examples, seed, restart, out);
  run(out, [&](cudaStream_t stream) { launch_l0_sample(arguments, stream); });
}

void l2_box_project(Tensor points, Tensor center, Tensor eps, double low, double high, Tensor out) {
  SparseArguments arguments = arguments_of("featlab::l2_box_project", points, center, low, high, out);
  arguments.eps = values_of("featlab::l2_box_project", eps, out);
  run(out, [&](cudaStream_t stream) { launch_l2_box_project(arguments, stream); });
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CUDA, m) {
  m.impl("l2_box_project", TORCH_BOX(&featlab::l2_box_project));
  m.impl("l1_step", TORCH_BOX(&featlab::l1_step));
  m.impl("l1_project", TORCH_BOX(&featlab::l1_project));
  m.impl("l1_sample", TORCH_BOX(&featlab::l1_sample));
  m.impl("l0_step", TORCH_BOX(&featlab::l0_step));
  m.impl("l0_project", TORCH_BOX(&featlab::l0_project));
  m.impl("l0_sample", TORCH_BOX(&featlab::l0_sample));
}
