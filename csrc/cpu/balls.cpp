// The CPU operators in the balls: arguments are checked, then rows are shared out among PyTorch's threads.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "accumulate_kernels.h"
#include "dispatch.h"

namespace featlab {
namespace {

// A step over a batch: what its rows have in common.
struct Step {
  Batch batch;
  const float *points, *center;
  const char* grad;
  int64_t grad_bytes;
  float* out;
  PerExample eps, step;
  Box box;

  // Elements begin .. end - 1 of one example.
  StepRow part(int64_t row, int64_t begin, int64_t end) const {
    const int64_t at = row * batch.size + begin;
    return {points + at, grad + at * grad_bytes, center + at, out + at, end - begin, eps[row], step[row], box};
  }
};

constexpr int64_t kBeside = 32768;  // elements of an example that the second cache holds beside the next

// How far the next example is, where it is worth fetching while this one is worked on.
int64_t ahead_of(int64_t row, int64_t end, int64_t size) {
  return row + 1 < end && size < kBeside ? size : 0;
}

using RowKernel = void (*)(const StepRow&);

void run_examples(const Step& step, RowKernel kernel) {
  torch::stable::parallel_for(0, step.batch.rows, rows_per_thread(step.batch), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      StepRow part = step.part(row, 0, step.batch.size);
      part.ahead = ahead_of(row, end, step.batch.size);
      kernel(part);
    }
  });
}

void run_elements(const Step& step, RowKernel kernel) {
  const int64_t size = step.batch.size;
  torch::stable::parallel_for(0, step.batch.rows * size, kGrain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t row = begin / size;
      const int64_t stop = std::min(end, (row + 1) * size);
      kernel(step.part(row, begin - row * size, stop - row * size));
      begin = stop;
    }
  });
}

Step step_of(const char* op, const Tensor& points, const Tensor& center, const Tensor& eps, double low, double high,
             const Tensor& out) {
  const Batch batch = batch_of(op, out);
  check_like(op, out, {&points, &center});
  check_float(op, {&points, &center});
  static const float kNoStep = 0.0F;
  return {batch,
          points.const_data_ptr<float>(),
          center.const_data_ptr<float>(),
          nullptr,
          0,
          out.mutable_data_ptr<float>(),
          per_example(op, eps, out),
          {&kNoStep, 0},
          {static_cast<float>(low), static_cast<float>(high)}};
}

void set_grad(const char* op, Step& step, const Tensor& grad, const Tensor& step_size, const Tensor& out) {
  check_like(op, out, {&grad});
  step.grad = static_cast<const char*>(grad.const_data_ptr());
  step.grad_bytes = static_cast<int64_t>(grad.element_size());
  step.step = per_example(op, step_size, out);
}

void linf_step(Tensor points, Tensor grad, Tensor center, Tensor eps, Tensor step_size, double low, double high,
               Tensor out) {
  Step step = step_of("featlab::linf_step", points, center, eps, low, high, out);
  set_grad("featlab::linf_step", step, grad, step_size, out);
  run_elements(step, kernels().linf_step[kind_of("featlab::linf_step", grad)]);
}

void linf_project(Tensor points, Tensor center, Tensor eps, double low, double high, Tensor out) {
  run_elements(step_of("featlab::linf_project", points, center, eps, low, high, out), kernels().linf_step[kNoGrad]);
}

void l2_step(Tensor points, Tensor grad, Tensor center, Tensor eps, Tensor step_size, double low, double high,
             Tensor out) {
  Step step = step_of("featlab::l2_step", points, center, eps, low, high, out);
  set_grad("featlab::l2_step", step, grad, step_size, out);
  run_examples(step, kernels().l2_step[kind_of("featlab::l2_step", grad)]);
}

void l2_project(Tensor points, Tensor center, Tensor eps, double low, double high, Tensor out) {
  run_examples(step_of("featlab::l2_project", points, center, eps, low, high, out), kernels().l2_step[kNoGrad]);
}

const AccumulateKernels& accumulate_kernels() {
  static const Isa isa = chosen_isa();
#if defined(__x86_64__)
  if (isa != Isa::kBaseline) {
    return isa == Isa::kAvx512 ? avx512::accumulate_kernels : avx2::accumulate_kernels;
  }
#endif
  return baseline::accumulate_kernels;
}

using AccumulateKernel = void (*)(const AccumulateRow&);

void run_accumulated(const char* op, Step& step, const Tensor& grad, const Tensor& step_size, Tensor& momentum,
                     const Tensor& decay, const Tensor& out, const AccumulateKernel (&table)[kGradKinds]) {
  set_grad(op, step, grad, step_size, out);
  check_like(op, out, {&momentum});
  check_float(op, {&momentum});
  float* memory = momentum.mutable_data_ptr<float>();
  const PerExample kept = per_example(op, decay, out);
  const AccumulateKernel kernel = table[kind_of(op, grad)];
  const int64_t size = step.batch.size;
  torch::stable::parallel_for(0, step.batch.rows, rows_per_thread(step.batch), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      AccumulateRow part = {step.part(row, 0, size), memory + row * size, kept[row]};
      part.ahead = ahead_of(row, end, size);
      kernel(part);
    }
  });
}

void linf_accumulated_step(Tensor points, Tensor grad, Tensor center, Tensor momentum, Tensor eps, Tensor step_size,
                           Tensor decay, double low, double high, Tensor out) {
  Step step = step_of("featlab::linf_accumulated_step", points, center, eps, low, high, out);
  run_accumulated("featlab::linf_accumulated_step", step, grad, step_size, momentum, decay, out,
                  accumulate_kernels().linf_step);
}

void l2_accumulated_step(Tensor points, Tensor grad, Tensor center, Tensor momentum, Tensor eps, Tensor step_size,
                         Tensor decay, double low, double high, Tensor out) {
  Step step = step_of("featlab::l2_accumulated_step", points, center, eps, low, high, out);
  run_accumulated("featlab::l2_accumulated_step", step, grad, step_size, momentum, decay, out,
                  accumulate_kernels().l2_step);
}

void run_sample(const char* op, const Tensor& center, const Tensor& eps, const Tensor& examples, int64_t seed,
                int64_t restart, Box box, const Tensor& out, void (*kernel)(const SampleRow&)) {
  const Batch batch = batch_of(op, out);
  check_like(op, out, {&center});
  check_float(op, {&center});
  const float* from = center.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  const PerExample radius = per_example(op, eps, out);
  const int64_t* ids = identities(op, examples, out);
  torch::stable::parallel_for(0, batch.rows, rows_per_thread(batch), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row * batch.size;
      const Stream stream = {static_cast<uint64_t>(seed), static_cast<uint64_t>(ids[row]),
                             static_cast<uint32_t>(restart), kUniform};
      kernel({from + at, to + at, 0, batch.size, radius[row], box, stream});
    }
  });
}

void linf_sample(Tensor center, Tensor eps, Tensor examples, int64_t seed, int64_t restart, double low, double high,
                 Tensor out) {
  run_sample("featlab::linf_sample", center, eps, examples, seed, restart, box_of(low, high), out,
             kernels().linf_sample);
}

void l2_sample(Tensor center, Tensor eps, Tensor examples, int64_t seed, int64_t restart, double low, double high,
               Tensor out) {
  run_sample("featlab::l2_sample", center, eps, examples, seed, restart, box_of(low, high), out, kernels().l2_sample);
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CPU, m) {
  m.impl("linf_step", TORCH_BOX(&featlab::linf_step));
  m.impl("linf_project", TORCH_BOX(&featlab::linf_project));
  m.impl("linf_sample", TORCH_BOX(&featlab::linf_sample));
  m.impl("l2_step", TORCH_BOX(&featlab::l2_step));
  m.impl("l2_project", TORCH_BOX(&featlab::l2_project));
  m.impl("l2_sample", TORCH_BOX(&featlab::l2_sample));
  m.impl("linf_accumulated_step", TORCH_BOX(&featlab::linf_accumulated_step));
  m.impl("l2_accumulated_step", TORCH_BOX(&featlab::l2_accumulated_step));
}
