// What the registrations of all CUDA operators share: the type of a gradient, PyTorch's current stream, plain
// arguments.
#pragma once

#include <cuda_runtime_api.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/util/shim_utils.h>

#include "../common/arguments.h"
#include "launch.h"

namespace featlab {

inline GradType type_of(const char* op, const Tensor& grad) {
  switch (grad.scalar_type()) {
    case ScalarType::Float:
      return GradType::kFloat;
    case ScalarType::Double:
      return GradType::kDouble;
    case ScalarType::BFloat16:
      return GradType::kBFloat16;
    case ScalarType::Half:
      return GradType::kHalf;
    default:
      STD_TORCH_CHECK(false, op, ": grad must be float32, float64, bfloat16 or float16.");
  }
}

inline cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

inline Values values_of(const char* op, const Tensor& value, const Tensor& out) {
  const PerExample checked = per_example(op, value, out);
  return {checked.data, checked.stride};
}

inline Box box_of(double low, double high) {
  return {static_cast<float>(low), static_cast<float>(high)};
}

}  // namespace featlab
