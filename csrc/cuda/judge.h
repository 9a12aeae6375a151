// What the registration of Auto-PGD's bookkeeping asks of its kernel.
#pragma once

#include <cuda_runtime_api.h>

#include "../common/judge.h"

namespace featlab {

// Launches on `stream` and allocates nothing; errors show in cudaGetLastError.
void launch_apgd_judge(const JudgeArguments& arguments, cudaStream_t stream);

}  // namespace featlab
