// The CPU operators of Auto-PGD: arguments are checked, then rows are shared out among PyTorch's threads.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "apgd_kernels.h"
#include "dispatch.h"

namespace featlab {
namespace {

const ApgdKernels& apgd_kernels() {
  static const Isa isa = chosen_isa();
#if defined(__x86_64__)
  if (isa != Isa::kBaseline) {
    return isa == Isa::kAvx512 ? avx512::apgd_kernels : avx2::apgd_kernels;
  }
#endif
  return baseline::apgd_kernels;
}

// A step over a batch: what its rows have in common.
struct ApgdStep {
  Batch batch;
  ApgdRow first;
  PerExample eps, step, alpha;
  const bool *improved, *back;

  // Elements begin .. end - 1 of one example.
  ApgdRow part(int64_t row, int64_t begin, int64_t end) const {
    const int64_t at = row * batch.size + begin;
    return {first.points + at,   first.grad + at, first.center + at,
            first.previous + at, first.best + at, first.best_grad + at,
            first.out + at,      end - begin,     eps[row],
            step[row],           alpha[row],      first.box,
            improved[row],       back[row]};
  }
};

ApgdStep step_of(const char* op, const Tensor& points, const Tensor& grad, const Tensor& center, Tensor& previous,
                 Tensor& best, Tensor& best_grad, const Tensor& improved, const Tensor& back, const Tensor& eps,
                 const Tensor& step_size, const Tensor& alpha, Box box, Tensor& out) {
  const Batch batch = batch_of(op, out);
  check_like(op, out, {&points, &grad, &center, &previous, &best, &best_grad});
  check_float(op, {&points, &grad, &center, &previous, &best, &best_grad});
  ApgdRow first = {};
  first.points = points.const_data_ptr<float>();
  first.grad = grad.const_data_ptr<float>();
  first.center = center.const_data_ptr<float>();
  first.previous = previous.mutable_data_ptr<float>();
  first.best = best.mutable_data_ptr<float>();
  first.best_grad = best_grad.mutable_data_ptr<float>();
  first.out = out.mutable_data_ptr<float>();
  first.box = box;
  return {batch,
          first,
          per_example(op, eps, out),
          per_example(op, step_size, out),
          per_example(op, alpha, out),
          verdicts(op, improved, out),
          verdicts(op, back, out)};
}

void linf_momentum_step(Tensor points, Tensor grad, Tensor center, Tensor previous, Tensor best, Tensor best_grad,
                        Tensor improved, Tensor back, Tensor eps, Tensor step_size, Tensor alpha, double low,
                        double high, Tensor out) {
  const ApgdStep step = step_of("featlab::linf_momentum_step", points, grad, center, previous, best, best_grad,
                                improved, back, eps, step_size, alpha, box_of(low, high), out);
  const int64_t size = step.batch.size;
  torch::stable::parallel_for(0, step.batch.rows * size, kGrain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t row = begin / size;
      const int64_t stop = std::min(end, (row + 1) * size);
      apgd_kernels().linf_step(step.part(row, begin - row * size, stop - row * size));
      begin = stop;
    }
  });
}

void l2_momentum_step(Tensor points, Tensor grad, Tensor center, Tensor previous, Tensor best, Tensor best_grad,
                      Tensor improved, Tensor back, Tensor eps, Tensor step_size, Tensor alpha, double low, double high,
                      Tensor out) {
  const ApgdStep step = step_of("featlab::l2_momentum_step", points, grad, center, previous, best, best_grad, improved,
                                back, eps, step_size, alpha, box_of(low, high), out);
  torch::stable::parallel_for(0, step.batch.rows, rows_per_thread(step.batch), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      apgd_kernels().l2_step(step.part(row, 0, step.batch.size));
    }
  });
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CPU, m) {
  m.impl("linf_momentum_step", TORCH_BOX(&featlab::linf_momentum_step));
  m.impl("l2_momentum_step", TORCH_BOX(&featlab::l2_momentum_step));
}
