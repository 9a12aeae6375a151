// What the registration asks of the kernels for pictures; see launch.h.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "../common/pictures.h"
#include "launch.h"

namespace featlab {

// `slope` is null where no gradient is wanted.
struct VariationArguments {
  int64_t rows, size;
  Planes planes;
  const float* images;
  float *value, *slope;
  Values weight;
  Knee knee;
};

// `colours` are what is written, or the gradient with respect to them, float or bfloat16 (`brain`). Whether channels
// come last in memory is said for points and colours. Nothing but colours needs the mean.
struct ColourArguments {
  int64_t rows, pixels;
  const float* points;
  float* slope;
  void* colours;
  const float *matrix, *mean, *std;
  bool last, colours_last, brain;
};

// Values of one pixel are `channel` apart, pixels `pixel`.
struct AffineArguments {
  int64_t rows, size;
  const float *from, *theta;
  float* to;
  int32_t channels, height, width;
  int64_t channel, pixel;
  bool edge;
};

// Each launches on `stream` and allocates nothing; errors show in cudaGetLastError.
void launch_total_variation(int form, const VariationArguments& arguments, cudaStream_t stream);
void launch_colour(const ColourArguments& arguments, cudaStream_t stream);
void launch_colour_backward(const ColourArguments& arguments, cudaStream_t stream);
void launch_affine(const AffineArguments& arguments, cudaStream_t stream);
void launch_affine_backward(const AffineArguments& arguments, cudaStream_t stream);

}  // namespace featlab
