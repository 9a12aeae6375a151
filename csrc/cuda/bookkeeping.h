// What the registration of the loop's books asks of the kernels.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace featlab {

struct PrintArguments {
  int64_t rows, size;
  const float* values;
  int64_t* out;
};

struct BetterArguments {
  int64_t rows, size;
  const float* values;
  const bool* take;
  const int64_t* index;
  float* best;
  int64_t best_rows;
};

// Each launches on `stream` and allocates nothing; errors show in cudaGetLastError.
void launch_fingerprint(const PrintArguments& arguments, cudaStream_t stream);
void launch_keep_better(const BetterArguments& arguments, cudaStream_t stream);

}  // namespace featlab
