// The kernels for pictures. Total variation: one block per example, sums in a fixed tree. Colours: a thread per pixel.
// Affine maps: a thread per pixel that is made, and backward a thread per pixel that was read, which finds its readers
// by the inverse map: no atomics, and sums in the order of the readers.
#include "pictures.h"

#include <algorithm>

#include "pack.cuh"
#include "sums.cuh"

namespace featlab {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostRows = 65535;  // of the grid; kernels stride over what is beyond

// Where a thread stands in an example: index, place in its row of the plane, row. Moves on by kThreads values.
struct Walk {
  int64_t at;
  int32_t place, line;
  int32_t places, lines, length, height;

  __device__ Walk(const Planes& planes)
      : at(threadIdx.x), length(static_cast<int32_t>(planes.length)), height(static_cast<int32_t>(planes.height)) {
    const auto first = static_cast<int32_t>(threadIdx.x);
    place = first % length;
    line = first / length % height;
    places = kThreads % length;
    lines = kThreads / length % height;
  }
  __device__ void next() {
    at += kThreads;
    place += places;
    line += lines;
    if (place >= length) {
      place -= length;
      ++line;
    }
    line -= line >= height ? height : 0;
  }
};

template <int FORM, bool SLOPE>
__global__ void __launch_bounds__(kThreads) variation_kernel(VariationArguments a) {
  __shared__ Scratch<kThreads, 1> scratch;
  Reduction<kThreads, 1> reduce(scratch);
  const auto step = static_cast<int32_t>(a.planes.step);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const float* images = a.images + row * a.size;
    const float weight = a.weight[row];
    double sum = 0.0;
    for (Walk walk(a.planes); walk.at < a.size; walk.next()) {
      const float* here = images + walk.at;
      const Cross cross = {
          *here, walk.place >= step ? here[-step] : *here, walk.place + step < walk.length ? here[step] : *here,
          walk.line > 0 ? here[-walk.length] : *here, walk.line + 1 < walk.height ? here[walk.length] : *here};
      sum += static_cast<double>(cost_after<FORM>(cross, a.knee));
      if constexpr (SLOPE) {
        a.slope[row * a.size + walk.at] = weight * slope_at<FORM>(cross, a.knee);
      }
    }
    const double total = reduce(sum);
    if (threadIdx.x == 0) {
      a.value[row] = static_cast<float>(total * static_cast<double>(weight));
    }
  }
}

__device__ __forceinline__ void put(float* to, float value) {
  *to = value;
}
__device__ __forceinline__ void put(__nv_bfloat16* to, float value) {
  *to = __float2bfloat16_rn(value);
}

// Where the three channels of a pixel are.
struct Pixel {
  int64_t at, channel;
};

__device__ __forceinline__ Pixel pixel_of(int64_t row, int64_t pixel, int64_t pixels, bool last) {
  return {row * 3 * pixels + (last ? 3 * pixel : pixel), last ? 1 : pixels};
}

template <class T>
__global__ void __launch_bounds__(kThreads) colour_kernel(ColourArguments a) {
  const Palette palette = palette_of(a.matrix, a.mean, a.std);
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < a.pixels; i += gridDim.x * int64_t{kThreads}) {
      const Pixel from = pixel_of(row, i, a.pixels, a.last), to = pixel_of(row, i, a.pixels, a.colours_last);
      const float* point = a.points + from.at;
      const float x = point[0], y = point[from.channel], z = point[2 * from.channel];
      T* colours = static_cast<T*>(a.colours) + to.at;
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        put(colours + c * to.channel, colour_of(palette, c, x, y, z));
      }
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) colour_backward_kernel(ColourArguments a) {
  const Palette palette = palette_of(a.matrix, nullptr, a.std);
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < a.pixels; i += gridDim.x * int64_t{kThreads}) {
      const Pixel from = pixel_of(row, i, a.pixels, a.last), there = pixel_of(row, i, a.pixels, a.colours_last);
      const float* point = a.points + from.at;
      const float x = point[0], y = point[from.channel], z = point[2 * from.channel];
      const T* grad = static_cast<const T*>(a.colours) + there.at;
      const float first = before_sigmoid(palette, 0, x, y, z, value_of(grad[0]));
      const float second = before_sigmoid(palette, 1, x, y, z, value_of(grad[there.channel]));
      const float third = before_sigmoid(palette, 2, x, y, z, value_of(grad[2 * there.channel]));
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        a.slope[from.at + c * from.channel] = mixed_back(palette, c, first, second, third);
      }
    }
  }
}

// The map of one example, applied to a pixel: the neighbours that it reads.
struct Map {
  float t[6];
  int32_t height, width;
  bool edge;

  __device__ Map(const AffineArguments& a, int64_t row) : height(a.height), width(a.width), edge(a.edge) {
#pragma unroll
    for (int k = 0; k < 6; ++k) {
      t[k] = a.theta[6 * row + k];
    }
  }
  __device__ Neighbours columns(int32_t i, int32_t j) const {
    return neighbours((t[0] * static_cast<float>(j) + t[1] * static_cast<float>(i)) + t[2], axis_of(width, edge));
  }
  __device__ Neighbours rows(int32_t i, int32_t j) const {
    return neighbours((t[3] * static_cast<float>(j) + t[4] * static_cast<float>(i)) + t[5], axis_of(height, edge));
  }
};

__global__ void __launch_bounds__(kThreads) affine_kernel(AffineArguments a) {
  const int32_t pixels = a.height * a.width;
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const Map map(a, row);
    for (int64_t k = blockIdx.x * int64_t{kThreads} + threadIdx.x; k < pixels; k += gridDim.x * int64_t{kThreads}) {
      const auto i = static_cast<int32_t>(k) / a.width, j = static_cast<int32_t>(k) % a.width;
      const Neighbours x = map.columns(i, j), y = map.rows(i, j);
      const int64_t place[4] = {(y.below * a.width + x.below) * a.pixel, (y.below * a.width + x.above) * a.pixel,
                                (y.above * a.width + x.below) * a.pixel, (y.above * a.width + x.above) * a.pixel};
      const float weight[4] = {y.below_weight * x.below_weight, y.below_weight * x.above_weight,
                               y.above_weight * x.below_weight, y.above_weight * x.above_weight};
      for (int32_t c = 0; c < a.channels; ++c) {
        const float* from = a.from + row * a.size + c * a.channel;
        const float above = weight[0] * from[place[0]] + weight[1] * from[place[1]];
        const float below = weight[2] * from[place[2]] + weight[3] * from[place[3]];
        a.to[row * a.size + c * a.channel + k * a.pixel] = above + below;
      }
    }
  }
}

struct Range {
  double low, high;
};

// The coordinates on one axis that read from pixel `at`: between its neighbours, and beyond the rim where an edge pixel
// stands for all that is outside. `reached` is what the map reaches at all; both are widened by more than rounding.
__device__ Range readers(int32_t at, int32_t length, bool edge, Range reached, double slack) {
  const double low = edge && at == 0 ? fmin(reached.low, -1.0) : at - 1.0;
  const double high = edge && at == length - 1 ? fmax(reached.high, length + 0.0) : at + 1.0;
  return {low - slack, high + slack};
}

// What an axis of the map reaches from the corners of the picture, and the error of its coordinates.
struct Reach {
  Range range;
  double slack;
};

__device__ Reach reach_of(float across, float down, float shift, int32_t height, int32_t width) {
  const double x = static_cast<double>(across) * (width - 1), y = static_cast<double>(down) * (height - 1);
  return {{shift + fmin(x, 0.0) + fmin(y, 0.0), shift + fmax(x, 0.0) + fmax(y, 0.0)},
          0x1p-20 * (fabs(x) + fabs(y) + fabs(static_cast<double>(shift)) + 1.0)};
}

// Whole numbers from low to high within [0, length); all of them where a bound is no number.
struct Span {
  int32_t first, last;
};

__device__ Span span_of(double center, double half, int32_t length) {
  const double low = center - half, high = center + half;
  return {!(low > 0.0) ? 0 : (low < length ? static_cast<int32_t>(floor(low)) : length),
          !(high < length - 1.0) ? length - 1 : (high >= 0.0 ? static_cast<int32_t>(ceil(high)) : -1)};
}

// The inverse of a map's linear part, and what the map reaches.
struct Inverse {
  double xx, xy, yx, yy;
  Reach columns, rows;

  __device__ explicit Inverse(const Map& map)
      : columns(reach_of(map.t[0], map.t[1], map.t[2], map.height, map.width)),
        rows(reach_of(map.t[3], map.t[4], map.t[5], map.height, map.width)) {
    const double a = map.t[0], b = map.t[1], c = map.t[3], d = map.t[4];
    const double once = 1.0 / (a * d - b * c);
    xx = d * once;
    xy = -b * once;
    yx = -c * once;
    yy = a * once;
  }
};

struct Rectangle {
  Span columns, rows;
};

// The pixels that may read from (i, j): around the preimage of the square that reads from it. A map without an inverse
// gives numbers that are none, and so the whole picture.
__device__ Rectangle readers_of(const Map& map, const Inverse& inverse, int32_t i, int32_t j) {
  const Range x = readers(j, map.width, map.edge, inverse.columns.range, inverse.columns.slack);
  const Range y = readers(i, map.height, map.edge, inverse.rows.range, inverse.rows.slack);
  const double u = (x.low + x.high) / 2 - map.t[2], v = (y.low + y.high) / 2 - map.t[5];
  const double wide = (x.high - x.low) / 2, tall = (y.high - y.low) / 2;
  return {span_of(inverse.xx * u + inverse.xy * v, fabs(inverse.xx) * wide + fabs(inverse.xy) * tall, map.width),
          span_of(inverse.yx * u + inverse.yy * v, fabs(inverse.yx) * wide + fabs(inverse.yy) * tall, map.height)};
}

__device__ __forceinline__ float weight_on(const Neighbours& n, int32_t at) {
  return (n.below == at ? n.below_weight : 0.0F) + (n.above == at ? n.above_weight : 0.0F);
}

constexpr int kTogether = 4;  // channels that share one search for readers

__global__ void __launch_bounds__(kThreads) affine_backward_kernel(AffineArguments a) {
  const int32_t pixels = a.height * a.width;
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const Map map(a, row);
    const Inverse inverse(map);
    for (int64_t k = blockIdx.x * int64_t{kThreads} + threadIdx.x; k < pixels; k += gridDim.x * int64_t{kThreads}) {
      const auto i = static_cast<int32_t>(k) / a.width, j = static_cast<int32_t>(k) % a.width;
      const Rectangle near = readers_of(map, inverse, i, j);
      for (int32_t first = 0; first < a.channels; first += kTogether) {
        float sums[kTogether] = {};
        for (int32_t y = near.rows.first; y <= near.rows.last; ++y) {
          for (int32_t x = near.columns.first; x <= near.columns.last; ++x) {
            const float weight = weight_on(map.rows(y, x), i) * weight_on(map.columns(y, x), j);
            const float* grad = a.from + row * a.size + (static_cast<int64_t>(y) * a.width + x) * a.pixel;
#pragma unroll
            for (int c = 0; c < kTogether; ++c) {
              sums[c] += weight != 0.0F && first + c < a.channels ? weight * grad[(first + c) * a.channel] : 0.0F;
            }
          }
        }
#pragma unroll
        for (int c = 0; c < kTogether; ++c) {
          if (first + c < a.channels) {
            a.to[row * a.size + (first + c) * a.channel + k * a.pixel] = sums[c];
          }
        }
      }
    }
  }
}

unsigned blocks_of(int64_t rows) {
  return static_cast<unsigned>(std::min<int64_t>(rows, 1 << 30));
}

dim3 grid_of(int64_t rows, int64_t pixels) {
  const int64_t across = std::min<int64_t>((pixels + kThreads - 1) / kThreads, 1 << 20);
  return {static_cast<unsigned>(across), static_cast<unsigned>(std::min(rows, kMostRows)), 1};
}

template <int FORM>
void launch_variation(const VariationArguments& a, cudaStream_t stream) {
  if (a.slope == nullptr) {
    variation_kernel<FORM, false><<<blocks_of(a.rows), kThreads, 0, stream>>>(a);
  } else {
    variation_kernel<FORM, true><<<blocks_of(a.rows), kThreads, 0, stream>>>(a);
  }
}

}  // namespace

void launch_total_variation(int form, const VariationArguments& a, cudaStream_t stream) {
  switch (form) {
    case kL1:
      return launch_variation<kL1>(a, stream);
    case kL2:
      return launch_variation<kL2>(a, stream);
    default:
      return launch_variation<kHuber>(a, stream);
  }
}

void launch_colour(const ColourArguments& a, cudaStream_t stream) {
  if (a.brain) {
    colour_kernel<__nv_bfloat16><<<grid_of(a.rows, a.pixels), kThreads, 0, stream>>>(a);
  } else {
    colour_kernel<float><<<grid_of(a.rows, a.pixels), kThreads, 0, stream>>>(a);
  }
}

void launch_colour_backward(const ColourArguments& a, cudaStream_t stream) {
  if (a.brain) {
    colour_backward_kernel<__nv_bfloat16><<<grid_of(a.rows, a.pixels), kThreads, 0, stream>>>(a);
  } else {
    colour_backward_kernel<float><<<grid_of(a.rows, a.pixels), kThreads, 0, stream>>>(a);
  }
}

void launch_affine(const AffineArguments& a, cudaStream_t stream) {
  affine_kernel<<<grid_of(a.rows, static_cast<int64_t>(a.height) * a.width), kThreads, 0, stream>>>(a);
}

void launch_affine_backward(const AffineArguments& a, cudaStream_t stream) {
  affine_backward_kernel<<<grid_of(a.rows, static_cast<int64_t>(a.height) * a.width), kThreads, 0, stream>>>(a);
}

}  // namespace featlab
