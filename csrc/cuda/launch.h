// What the registration, which knows PyTorch, asks of the kernels, which do not: nvcc reads PyTorch's headers once, and
// not once per architecture.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "../common/steps.h"

namespace featlab {

enum class GradType { kFloat, kDouble, kBFloat16, kHalf, kNone };

struct Values {
  const float* data;
  int64_t stride;  // 0: one value for all examples

#if defined(__CUDACC__)
  __device__ float operator[](int64_t row) const { return data[row * stride]; }
#endif
};

struct StepArguments {
  int64_t rows, size;
  const float *points, *center;
  const void* grad;
  float* out;
  Values eps, step;
  Box box;
};

// A step along a momentum that is brought up to date first.
struct AccumulateArguments {
  StepArguments step;
  float* momentum;
  Values decay;
};

struct SampleArguments {
  int64_t rows, size;
  const float* center;
  float* out;
  Values eps;
  const int64_t* examples;
  uint64_t seed;
  uint32_t restart;
  Box box;
};

// Each launches on `stream` and allocates nothing; errors show in cudaGetLastError.
void launch_linf_step(GradType grad, const StepArguments& arguments, cudaStream_t stream);
void launch_l2_step(GradType grad, const StepArguments& arguments, cudaStream_t stream);
void launch_linf_accumulated_step(GradType grad, const AccumulateArguments& arguments, cudaStream_t stream);
void launch_l2_accumulated_step(GradType grad, const AccumulateArguments& arguments, cudaStream_t stream);
void launch_linf_sample(const SampleArguments& arguments, cudaStream_t stream);
void launch_l2_sample(const SampleArguments& arguments, cudaStream_t stream);

}  // namespace featlab
