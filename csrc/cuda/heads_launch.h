// What the registration of the losses asks of their kernel; see launch.h.
#pragma once

#include "../common/heads.h"
#include "launch.h"

namespace featlab {

// `targets` is read by Loss::kDlrTargeted alone; `labels` may stand there otherwise.
struct HeadArguments {
  Loss loss;
  int64_t rows, classes;
  const void* logits;
  const int64_t *labels, *targets;
  void* cotangent;
  float *value, *margin;
  bool* correct;
};

// `type` is that of the logits and of the cotangent: float32, bfloat16 or float16.
void launch_head(GradType type, const HeadArguments& arguments, cudaStream_t stream);

}  // namespace featlab
