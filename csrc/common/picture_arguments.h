// What the operators for pictures demand of their tensors, said once for both devices. Host code only.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include "arguments.h"
#include "pictures.h"

namespace featlab {

inline bool is_contiguous_from(const Tensor& tensor, std::initializer_list<int64_t> order) {
  int64_t expected = 1;
  for (const int64_t d : order) {
    if (tensor.size(d) > 1 && tensor.stride(d) != expected) {
      return false;
    }
    expected *= tensor.size(d);
  }
  return true;
}

// Whether the channels of pictures (batch, channels, height, width) come last in memory; planes where both are so.
inline bool channels_last(const char* op, const Tensor& tensor) {
  STD_TORCH_CHECK(tensor.dim() == 4, op, ": pictures must be (batch, channels, height, width).");
  const bool planes = is_contiguous_from(tensor, {3, 2, 1, 0});
  STD_TORCH_CHECK(planes || is_contiguous_from(tensor, {1, 3, 2, 0}), op,
                  ": pictures must be contiguous or channels last.");
  return !planes;
}

struct VariationCall {
  Batch batch;
  Planes planes;
  const float* images;
  float *value, *slope;
  PerExample weight;
  Knee knee;
};

inline Planes planes_of(const char* op, const Tensor& images, int64_t size) {
  const int64_t dim = images.dim();
  STD_TORCH_CHECK(dim >= 3, op, ": images must be (batch, ..., height, width).");
  const int64_t height = images.size(dim - 2), width = images.size(dim - 1);
  if (images.is_contiguous()) {
    return {size == 0 ? 0 : size / (height * width), height, width, 1};
  }
  channels_last(op, images);
  return {1, height, width * images.size(1), images.size(1)};
}

inline VariationCall variation_call(const Tensor& images, const Tensor& weight, int64_t form, double delta,
                                    const Tensor& value, const Tensor& slope) {
  const char* op = "featlab::total_variation";
  const Batch batch = batch_of(op, images);
  check_float(op, {&value});
  STD_TORCH_CHECK(form >= 0 && form < kForms, op, ": form must be 0, 1 or 2.");
  STD_TORCH_CHECK(value.dim() == 1 && value.numel() == batch.rows && value.is_contiguous(), op,
                  ": value must hold one number per example.");
  STD_TORCH_CHECK(value.device() == images.device(), op, ": all tensors must be on one device.");
  STD_TORCH_CHECK(batch.size < int64_t{1} << 31, op, ": an image must have less than 2^31 values.");
  const bool wanted = slope.numel() > 0;
  if (wanted) {
    check_like(op, images, {&slope});
    check_float(op, {&slope});
  }
  return {batch,
          planes_of(op, images, batch.size),
          images.const_data_ptr<float>(),
          value.mutable_data_ptr<float>(),
          wanted ? slope.mutable_data_ptr<float>() : nullptr,
          per_example(op, weight, images),
          knee_of(delta)};
}

// `other` is what the colours are written to, or the gradient with respect to them.
struct ColourCall {
  int64_t rows, pixels, other_bytes;
  bool last, other_last, brain;
};

inline ColourCall colour_call(const char* op, const Tensor& points, const Tensor& other,
                              std::initializer_list<const Tensor*> constants) {
  const bool last = channels_last(op, points), other_last = channels_last(op, other);
  check_float(op, {&points});
  STD_TORCH_CHECK(points.size(1) == 3, op, ": points must have 3 channels.");
  STD_TORCH_CHECK(other.device() == points.device(), op, ": all tensors must be on one device.");
  for (int64_t d = 0; d < 4; ++d) {
    STD_TORCH_CHECK(other.size(d) == points.size(d), op, ": shapes must be equal.");
  }
  const bool brain = other.scalar_type() == ScalarType::BFloat16;
  STD_TORCH_CHECK(brain || other.scalar_type() == ScalarType::Float, op, ": colours are float32 or bfloat16.");
  int64_t wanted = 9;  // the matrix comes first
  for (const Tensor* constant : constants) {
    check_float(op, {constant});
    STD_TORCH_CHECK(constant->device() == points.device(), op, ": all tensors must be on one device.");
    STD_TORCH_CHECK(constant->numel() == wanted && constant->is_contiguous(), op, ": matrix (3, 3), mean and std (3).");
    wanted = 3;
  }
  return {points.size(0), points.size(2) * points.size(3), brain ? 2 : 4, last, other_last, brain};
}

struct AffineCall {
  Batch batch;
  const float *from, *theta;
  float* to;
  int32_t channels, height, width;
  int64_t channel, pixel;
};

inline AffineCall affine_call(const char* op, const Tensor& from, const Tensor& theta, const Tensor& out) {
  const Batch batch = batch_of(op, out);
  const bool last = channels_last(op, out);
  check_like(op, out, {&from});
  check_float(op, {&from, &theta});
  STD_TORCH_CHECK(theta.device() == out.device(), op, ": all tensors must be on one device.");
  STD_TORCH_CHECK(theta.dim() == 2 && theta.size(0) == batch.rows && theta.size(1) == 6 && theta.is_contiguous(), op,
                  ": theta must be (batch, 6).");
  STD_TORCH_CHECK(batch.size < int64_t{1} << 31, op, ": a picture must have less than 2^31 values.");
  const auto channels = static_cast<int32_t>(out.size(1)), height = static_cast<int32_t>(out.size(2)),
             width = static_cast<int32_t>(out.size(3));
  return {batch,
          from.const_data_ptr<float>(),
          theta.const_data_ptr<float>(),
          out.mutable_data_ptr<float>(),
          channels,
          height,
          width,
          last ? 1 : static_cast<int64_t>(height) * width,
          last ? static_cast<int64_t>(channels) : 1};
}

}  // namespace featlab
