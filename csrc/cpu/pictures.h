// The kernels for pictures of one instruction set, as a table of plain functions. No PyTorch header comes near them;
// see kernels.h.
#pragma once

#include <cstdint>

#include "../common/pictures.h"

namespace featlab {

// One example. `slope` is null where no gradient is wanted.
struct VariationRow {
  const float* images;
  float* slope;
  Planes planes;
  float weight;
  Knee knee;
};

// Pixels begin .. end - 1 of one example; a channel is `plane` values away where channels do not come last.
struct ColourRow {
  const float* points;
  void* out;
  int64_t begin, end, plane;
  const Palette* palette;
};

struct ColourBackwardRow {
  const void* grad;
  const float* points;
  float* out;
  int64_t begin, end, plane;
  const Palette* palette;
};

// One example. Values of one pixel are `channel` apart, pixels `pixel`.
struct AffineRow {
  const float* from;
  float* to;
  const float* theta;
  int32_t channels, height, width;
  int64_t channel, pixel;
  bool edge;
};

enum ColourType : int { kSingle, kBrain, kColourTypes };

struct PictureKernels {
  double (*variation[kForms])(const VariationRow&);
  void (*colour[kColourTypes][2][2])(const ColourRow&);  // type of the result; channels last: points, result
  void (*colour_backward[kColourTypes][2][2])(const ColourBackwardRow&);  // likewise of the gradient
  void (*affine)(const AffineRow&);
  void (*affine_backward)(const AffineRow&);
};

namespace baseline {
extern const PictureKernels picture_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const PictureKernels picture_kernels;
}
namespace avx512 {
extern const PictureKernels picture_kernels;
}
#endif

}  // namespace featlab
