// The CPU operators that keep a loop's books: rows are shared out among PyTorch's threads.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <cstring>

#include "dispatch.h"

namespace featlab {
namespace {

void fingerprint(Tensor values, Tensor out) {
  const Batch batch = batch_of("featlab::fingerprint", values);
  int64_t* to = prints_of("featlab::fingerprint", values, out);
  const float* from = values.const_data_ptr<float>();
  torch::stable::parallel_for(0, batch.rows, rows_per_thread(batch), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      to[row] = static_cast<int64_t>(kernels().fingerprint(from + row * batch.size, batch.size));
    }
  });
}

void keep_better(Tensor values, Tensor take, Tensor index, Tensor best) {
  const Batch batch = batch_of("featlab::keep_better", values);
  const RowChoice choice = row_choice_of("featlab::keep_better", values, take, index, best);
  const float* from = values.const_data_ptr<float>();
  float* to = best.mutable_data_ptr<float>();
  torch::stable::parallel_for(0, batch.rows, rows_per_thread(batch), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (choice.take[row] && choice.holds(choice.index[row])) {
        memcpy(to + choice.index[row] * batch.size, from + row * batch.size, batch.size * sizeof(float));
      }
    }
  });
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CPU, m) {
  m.impl("fingerprint", TORCH_BOX(&featlab::fingerprint));
  m.impl("keep_better", TORCH_BOX(&featlab::keep_better));
}
