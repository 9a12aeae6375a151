// What the sparse operators demand of their tensors beyond arguments.h. Host code only.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include "arguments.h"
#include "sparse.h"

namespace featlab {

inline Counts counts(const char* op, const Tensor& count, const Tensor& out) {
  STD_TORCH_CHECK(count.scalar_type() == ScalarType::Long, op, ": count must be int64.");
  STD_TORCH_CHECK(count.device() == out.device(), op, ": all tensors must be on one device.");
  STD_TORCH_CHECK(count.numel() == 1 || count.numel() == out.size(0), op, ": one count, or one per example.");
  STD_TORCH_CHECK(count.is_contiguous(), op, ": counts must be contiguous.");
  return {count.const_data_ptr<int64_t>(), count.numel() == 1 ? int64_t{0} : int64_t{1}};
}

// Equals are chosen by their place in memory, which must then be their place in the example.
inline void check_order(const char* op, const Tensor& out) {
  STD_TORCH_CHECK(out.is_contiguous(), op, ": tensors must be contiguous.");
}

inline int64_t checked_channels(const char* op, int64_t channels, const Batch& batch) {
  STD_TORCH_CHECK(channels >= 1 && batch.size % channels == 0, op, ": channels must divide the size of an example.");
  return channels;
}

}  // namespace featlab
