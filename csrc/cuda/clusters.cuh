// Launches of thread-block clusters, and what a device lets them be.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>

namespace featlab {

constexpr int kMostCluster = 16;  // blocks; more than 8 must be asked for
constexpr int kMostDevices = 64;

// So many blocks for rows of which each takes a cluster.
inline unsigned blocks_of(int64_t rows, int cluster) {
  return static_cast<unsigned>(std::min<int64_t>(rows, (1 << 30) / cluster) * cluster);
}

// What a launch of clusters is made of; it holds a pointer to its own attribute.
struct ClusterLaunch {
  cudaLaunchAttribute attribute = {};
  cudaLaunchConfig_t config = {};

  ClusterLaunch(unsigned blocks, int cluster, int threads, int bytes, cudaStream_t stream) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = static_cast<unsigned>(cluster);
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    config.gridDim = dim3(blocks);
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = static_cast<size_t>(bytes);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
  }
  ClusterLaunch(const ClusterLaunch&) = delete;
};

// Whether the device has clusters, and the kernel was compiled for such a device; it may then have large ones.
template <class Kernel>
bool runs_in_clusters(Kernel* kernel, int device) {
  int clusters = 0;
  cudaFuncAttributes compiled = {};
  return cudaDeviceGetAttribute(&clusters, cudaDevAttrClusterLaunch, device) == cudaSuccess && clusters != 0 &&
         cudaFuncGetAttributes(&compiled, kernel) == cudaSuccess && compiled.ptxVersion >= 90 &&
         cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) == cudaSuccess;
}

}  // namespace featlab
