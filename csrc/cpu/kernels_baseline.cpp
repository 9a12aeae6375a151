// The instructions that every machine of this architecture has.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels.h"

namespace featlab::baseline {
#include "kernels.inc"
}  // namespace featlab::baseline
