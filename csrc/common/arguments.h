// What the operators demand of their tensors, said once for both devices. Host code only.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <initializer_list>

namespace featlab {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// A batch as memory: `rows` examples, each of `size` elements that lie densely behind each other.
struct Batch {
  int64_t rows, size;
};

// Whether the dimensions from the second on cover `size` consecutive elements, in whatever order.
inline bool is_dense(const Tensor& tensor, int64_t size) {
  int64_t expected = 1;
  for (int64_t covered = 0; covered < tensor.dim(); ++covered) {
    for (int64_t d = 1; d < tensor.dim(); ++d) {
      if (tensor.size(d) > 1 && tensor.stride(d) == expected) {
        expected *= tensor.size(d);
        break;
      }
    }
  }
  return expected == size;
}

inline bool same_layout(const Tensor& a, const Tensor& b) {
  if (a.dim() != b.dim()) {
    return false;
  }
  for (int64_t d = 0; d < a.dim(); ++d) {
    if (a.size(d) != b.size(d) || (a.size(d) > 1 && a.stride(d) != b.stride(d))) {
      return false;
    }
  }
  return true;
}

inline Batch batch_of(const char* op, const Tensor& out) {
  STD_TORCH_CHECK(out.scalar_type() == ScalarType::Float, op, ": the native kernel works on float32 points.");
  STD_TORCH_CHECK(out.dim() >= 1, op, ": the points need a batch dimension.");
  const int64_t rows = out.size(0);
  const int64_t size = rows == 0 ? 0 : out.numel() / rows;
  if (size > 0) {
    const bool outermost = rows == 1 || out.stride(0) == size;
    STD_TORCH_CHECK(outermost && is_dense(out, size), op, ": each example must be one dense block of memory.");
  }
  return {rows, size};
}

inline void check_like(const char* op, const Tensor& out, std::initializer_list<const Tensor*> others) {
  for (const Tensor* other : others) {
    STD_TORCH_CHECK(other->device() == out.device(), op, ": all tensors must be on one device.");
    STD_TORCH_CHECK(other->numel() == 0 || same_layout(*other, out), op, ": shapes and strides must be equal.");
    STD_TORCH_CHECK(other->numel() == out.numel(), op, ": shapes must be equal.");
  }
}

inline void check_float(const char* op, std::initializer_list<const Tensor*> tensors) {
  for (const Tensor* tensor : tensors) {
    STD_TORCH_CHECK(tensor->scalar_type() == ScalarType::Float, op, ": points, center, eps must be float32.");
  }
}

// One value for all examples, or one each.
struct PerExample {
  const float* data;
  int64_t stride;

#if defined(__CUDACC__)
  __host__ __device__
#endif
      float operator[](int64_t row) const {
    return data[row * stride];
  }
};

inline PerExample per_example(const char* op, const Tensor& value, const Tensor& out) {
  check_float(op, {&value});
  STD_TORCH_CHECK(value.device() == out.device(), op, ": all tensors must be on one device.");
  STD_TORCH_CHECK(value.numel() == 1 || value.numel() == out.size(0), op, ": one value, or one per example.");
  STD_TORCH_CHECK(value.is_contiguous(), op, ": per-example values must be contiguous.");
  return {value.const_data_ptr<float>(), value.numel() == 1 ? int64_t{0} : int64_t{1}};
}

inline const int64_t* identities(const char* op, const Tensor& examples, const Tensor& out) {
  STD_TORCH_CHECK(examples.scalar_type() == ScalarType::Long, op, ": examples must be int64.");
  STD_TORCH_CHECK(examples.device() == out.device(), op, ": all tensors must be on one device.");
  STD_TORCH_CHECK(examples.numel() == out.size(0), op, ": one identity per example.");
  STD_TORCH_CHECK(examples.is_contiguous(), op, ": examples must be contiguous.");
  return examples.const_data_ptr<int64_t>();
}

inline int64_t* prints_of(const char* op, const Tensor& values, const Tensor& out) {
  STD_TORCH_CHECK(out.scalar_type() == ScalarType::Long, op, ": fingerprints are int64.");
  STD_TORCH_CHECK(out.device() == values.device(), op, ": all tensors must be on one device.");
  STD_TORCH_CHECK(out.numel() == values.size(0) && out.is_contiguous(), op, ": one fingerprint per example.");
  return out.mutable_data_ptr<int64_t>();
}

// Which rows are to be written, and where to.
struct Choice {
  const bool* take;
  const int64_t* index;
  int64_t rows;

#if defined(__CUDACC__)
  __host__ __device__
#endif
      bool holds(int64_t row) const {
    return row >= 0 && row < rows;
  }
};

inline Choice choice_of(const char* op, const Tensor& values, const Tensor& take, const Tensor& index,
                        const Tensor& best) {
  STD_TORCH_CHECK(take.scalar_type() == ScalarType::Bool && take.is_contiguous(), op, ": take must be bool.");
  STD_TORCH_CHECK(take.numel() == values.size(0), op, ": take must have one entry per row.");
  STD_TORCH_CHECK(best.dim() == values.dim(), op, ": values must be like rows of best.");
  batch_of(op, best);
  for (int64_t d = 1; d < best.dim(); ++d) {
    const bool strides = best.size(d) == 1 || best.stride(d) == values.stride(d);
    STD_TORCH_CHECK(best.size(d) == values.size(d) && strides, op, ": values must be like rows of best.");
  }
  STD_TORCH_CHECK(best.device() == values.device() && take.device() == values.device(), op,
                  ": all tensors must be on one device.");
  return {take.const_data_ptr<bool>(), identities(op, index, values), best.size(0)};
}

inline const bool* verdicts(const char* op, const Tensor& each, const Tensor& out) {
  STD_TORCH_CHECK(each.scalar_type() == ScalarType::Bool, op, ": verdicts must be bool.");
  STD_TORCH_CHECK(each.device() == out.device(), op, ": all tensors must be on one device.");
  STD_TORCH_CHECK(each.numel() == out.size(0) && each.is_contiguous(), op, ": one verdict per example, contiguous.");
  return each.const_data_ptr<bool>();
}

}  // namespace featlab
