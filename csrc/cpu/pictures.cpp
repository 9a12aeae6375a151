// The CPU operators for pictures: arguments are checked, then examples or pixels are shared out among PyTorch's
// threads.
#include "pictures.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "../common/picture_arguments.h"
#include "dispatch.h"

namespace featlab {
namespace {

const PictureKernels& picture_kernels() {
  static const Isa isa = chosen_isa();
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) {
    return avx512::picture_kernels;
  }
  if (isa == Isa::kAvx2) {
    return avx2::picture_kernels;
  }
#endif
  return baseline::picture_kernels;
}

// Calls run(row) for every example.
template <class Run>
void for_examples(const Batch& batch, const Run& run) {
  torch::stable::parallel_for(0, batch.rows, rows_per_thread(batch), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      run(row);
    }
  });
}

void total_variation(Tensor images, Tensor weight, int64_t form, double delta, Tensor value, Tensor slope) {
  const VariationCall call = variation_call(images, weight, form, delta, value, slope);
  const auto kernel = picture_kernels().variation[form];
  for_examples(call.batch, [&](int64_t row) {
    const int64_t at = row * call.batch.size;
    const float each = call.weight[row];
    const double sum =
        kernel({call.images + at, call.slope == nullptr ? nullptr : call.slope + at, call.planes, each, call.knee});
    call.value[row] = static_cast<float>(sum * static_cast<double>(each));
  });
}

// Calls run(row, begin, end) with pixels begin .. end - 1 of an example.
template <class Run>
void for_pixels(int64_t rows, int64_t pixels, const Run& run) {
  torch::stable::parallel_for(0, rows * pixels, kGrain / 8, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t row = begin / pixels;
      const int64_t stop = std::min(end, (row + 1) * pixels);
      run(row, begin - row * pixels, stop - row * pixels);
      begin = stop;
    }
  });
}

void colour(Tensor points, Tensor matrix, Tensor mean, Tensor std, Tensor out) {
  const char* op = "featlab::colour";
  const ColourCall call = colour_call(op, points, out, {&matrix, &mean, &std});
  const Palette palette =
      palette_of(matrix.const_data_ptr<float>(), mean.const_data_ptr<float>(), std.const_data_ptr<float>());
  const float* from = points.const_data_ptr<float>();
  char* to = static_cast<char*>(out.mutable_data_ptr());
  const auto kernel = picture_kernels().colour[call.brain][call.last][call.other_last];
  for_pixels(call.rows, call.pixels, [&](int64_t row, int64_t begin, int64_t end) {
    const int64_t at = row * 3 * call.pixels;
    kernel({from + at, to + at * call.other_bytes, begin, end, call.pixels, &palette});
  });
}

void colour_backward(Tensor grad, Tensor points, Tensor matrix, Tensor std, Tensor out) {
  const char* op = "featlab::colour_backward";
  const ColourCall call = colour_call(op, points, grad, {&matrix, &std});
  check_like(op, points, {&out});
  check_float(op, {&out});
  const Palette palette = palette_of(matrix.const_data_ptr<float>(), nullptr, std.const_data_ptr<float>());
  const char* upstream = static_cast<const char*>(grad.const_data_ptr());
  const float* from = points.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  const auto kernel = picture_kernels().colour_backward[call.brain][call.last][call.other_last];
  for_pixels(call.rows, call.pixels, [&](int64_t row, int64_t begin, int64_t end) {
    const int64_t at = row * 3 * call.pixels;
    kernel({upstream + at * call.other_bytes, from + at, to + at, begin, end, call.pixels, &palette});
  });
}

void run_affine(const char* op, const Tensor& from, const Tensor& theta, bool edge, const Tensor& out,
                void (*kernel)(const AffineRow&)) {
  const AffineCall call = affine_call(op, from, theta, out);
  for_examples(call.batch, [&](int64_t row) {
    const int64_t at = row * call.batch.size;
    kernel({call.from + at, call.to + at, call.theta + 6 * row, call.channels, call.height, call.width, call.channel,
            call.pixel, edge});
  });
}

void affine(Tensor images, Tensor theta, bool edge, Tensor out) {
  run_affine("featlab::affine", images, theta, edge, out, picture_kernels().affine);
}

void affine_backward(Tensor grad, Tensor theta, bool edge, Tensor out) {
  run_affine("featlab::affine_backward", grad, theta, edge, out, picture_kernels().affine_backward);
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CPU, m) {
  m.impl("total_variation", TORCH_BOX(&featlab::total_variation));
  m.impl("colour", TORCH_BOX(&featlab::colour));
  m.impl("colour_backward", TORCH_BOX(&featlab::colour_backward));
  m.impl("affine", TORCH_BOX(&featlab::affine));
  m.impl("affine_backward", TORCH_BOX(&featlab::affine_backward));
}
