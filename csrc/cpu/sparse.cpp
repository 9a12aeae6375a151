// The CPU operators of the sparse family: arguments are checked, then examples are shared out among PyTorch's threads.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "../common/sparse_arguments.h"
#include "dispatch.h"
#include "sparse_kernels.h"

namespace featlab {
namespace {

const SparseKernels& sparse_kernels() {
  static const Isa isa = chosen_isa();
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) {
    return avx512::sparse_kernels;
  }
  if (isa == Isa::kAvx2) {
    return avx2::sparse_kernels;
  }
#endif
  return baseline::sparse_kernels;
}

// A call over a batch: what its rows have in common.
struct Sparse {
  Batch batch;
  const float *points, *center;
  float* out;
  Box box;
  const char* grad = nullptr;
  int64_t grad_bytes = 0;
  PerExample eps = {&kNone, 0}, step = {&kNone, 0};
  Counts count = {&kNoCount, 0};
  int64_t channels = 1;
  const int64_t* examples = nullptr;
  uint64_t seed = 0;
  uint32_t restart = 0;

  static constexpr float kNone = 0.0F;
  static constexpr int64_t kNoCount = 0;

  SparseRow row(int64_t row) const {
    const int64_t at = row * batch.size;
    const uint64_t example = examples == nullptr ? 0 : static_cast<uint64_t>(examples[row]);
    return {{points + at, grad + at * grad_bytes, center + at, out + at, batch.size, eps[row], step[row], box},
            count.data[row * count.stride],
            channels,
            {seed, example, restart, kUniform}};
  }
};

void run(const Sparse& sparse, void (*kernel)(const SparseRow&)) {
  torch::stable::parallel_for(0, sparse.batch.rows, rows_per_thread(sparse.batch), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      kernel(sparse.row(row));
    }
  });
}

Sparse sparse_of(const char* op, const Tensor& points, const Tensor& center, double low, double high,
                 const Tensor& out) {
  const Batch batch = batch_of(op, out);
  check_like(op, out, {&points, &center});
  check_float(op, {&points, &center});
  return {batch, points.const_data_ptr<float>(), center.const_data_ptr<float>(), out.mutable_data_ptr<float>(),
          box_of(low, high)};
}

void set_grad(const char* op, Sparse& sparse, const Tensor& grad, const Tensor& step_size, const Tensor& out) {
  check_like(op, out, {&grad});
  sparse.grad = static_cast<const char*>(grad.const_data_ptr());
  sparse.grad_bytes = static_cast<int64_t>(grad.element_size());
  sparse.step = per_example(op, step_size, out);
}

void set_key(const char* op, Sparse& sparse, const Tensor& examples, int64_t seed, int64_t restart, const Tensor& out) {
  sparse.examples = identities(op, examples, out);
  sparse.seed = static_cast<uint64_t>(seed);
  sparse.restart = static_cast<uint32_t>(restart);
}

void l1_step(Tensor points, Tensor grad, Tensor center, Tensor eps, Tensor step_size, Tensor count, double low,
             double high, Tensor out) {
  const char* op = "featlab::l1_step";
  Sparse sparse = sparse_of(op, points, center, low, high, out);
  check_order(op, out);
  set_grad(op, sparse, grad, step_size, out);
  sparse.eps = per_example(op, eps, out);
  sparse.count = counts(op, count, out);
  run(sparse, sparse_kernels().l1_step[kind_of(op, grad)]);
}

void l1_project(Tensor points, Tensor center, Tensor eps, double low, double high, Tensor out) {
  Sparse sparse = sparse_of("featlab::l1_project", points, center, low, high, out);
  sparse.eps = per_example("featlab::l1_project", eps, out);
  run(sparse, sparse_kernels().l1_step[kNoGrad]);
}

void l1_sample(Tensor center, Tensor eps, Tensor examples, int64_t seed, int64_t restart, double low, double high,
               Tensor out) {
  const char* op = "featlab::l1_sample";
  Sparse sparse = sparse_of(op, center, center, low, high, out);
  sparse.eps = per_example(op, eps, out);
  set_key(op, sparse, examples, seed, restart, out);
  run(sparse, sparse_kernels().l1_sample);
}

void l0_step(Tensor points, Tensor grad, Tensor center, Tensor count, Tensor step_size, int64_t channels, double low,
             double high, Tensor out) {
  const char* op = "featlab::l0_step";
  Sparse sparse = sparse_of(op, points, center, low, high, out);
  check_order(op, out);
  set_grad(op, sparse, grad, step_size, out);
  sparse.channels = checked_channels(op, channels, sparse.batch);
  sparse.count = counts(op, count, out);
  run(sparse, sparse_kernels().l0_step[kind_of(op, grad)]);
}

void l0_project(Tensor points, Tensor center, Tensor count, int64_t channels, double low, double high, Tensor out) {
  const char* op = "featlab::l0_project";
  Sparse sparse = sparse_of(op, points, center, low, high, out);
  check_order(op, out);
  sparse.channels = checked_channels(op, channels, sparse.batch);
  sparse.count = counts(op, count, out);
  run(sparse, sparse_kernels().l0_step[kNoGrad]);
}

void l0_sample(Tensor center, Tensor count, Tensor examples, int64_t seed, int64_t restart, int64_t channels,
               double low, double high, Tensor out) {
  const char* op = "featlab::l0_sample";
  Sparse sparse = sparse_of(op, center, center, low, high, out);
  check_order(op, out);
  sparse.channels = checked_channels(op, channels, sparse.batch);
  sparse.count = counts(op, count, out);
  set_key(op, sparse, examples, seed, restart, out);
  run(sparse, sparse_kernels().l0_sample);
}

void l2_box_project(Tensor points, Tensor center, Tensor eps, double low, double high, Tensor out) {
  Sparse sparse = sparse_of("featlab::l2_box_project", points, center, low, high, out);
  sparse.eps = per_example("featlab::l2_box_project", eps, out);
  run(sparse, sparse_kernels().l2_box_project);
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CPU, m) {
  m.impl("l2_box_project", TORCH_BOX(&featlab::l2_box_project));
  m.impl("l1_step", TORCH_BOX(&featlab::l1_step));
  m.impl("l1_project", TORCH_BOX(&featlab::l1_project));
  m.impl("l1_sample", TORCH_BOX(&featlab::l1_sample));
  m.impl("l0_step", TORCH_BOX(&featlab::l0_step));
  m.impl("l0_project", TORCH_BOX(&featlab::l0_project));
  m.impl("l0_sample", TORCH_BOX(&featlab::l0_sample));
}
