// What the registration asks of the sparse kernels; see launch.h.
#pragma once

#include "../common/sparse.h"
#include "launch.h"

namespace featlab {

// Projections have no gradient; the samplers read `center` and write `out`. What a kernel does not need is null or 0.
struct SparseArguments {
  int64_t rows, size;
  const float *points, *center;
  const void* grad;
  float* out;
  Values eps, step;
  Counts count;
  int64_t channels;
  const int64_t* examples;
  uint64_t seed;
  uint32_t restart;
  Box box;
};

void launch_l1_step(GradType grad, const SparseArguments& arguments, cudaStream_t stream);
void launch_l0_step(GradType grad, const SparseArguments& arguments, cudaStream_t stream);
void launch_l2_box_project(const SparseArguments& arguments, cudaStream_t stream);
void launch_l1_sample(const SparseArguments& arguments, cudaStream_t stream);
void launch_l0_sample(const SparseArguments& arguments, cudaStream_t stream);

}  // namespace featlab
