// The emulated device: what it allows, and what the tests read and set.
#include <algorithm>

#include "cuda_runtime_api.h"

namespace emulation {

Devices& devices() {
  static Devices the_devices;
  return the_devices;
}

namespace {

void choose(int capability, unsigned largest_cluster) {
  std::vector<Device>& all = devices().all;
  const auto found = std::find_if(all.begin(), all.end(), [&](const Device& each) {
    return each.capability == capability && each.largest_cluster == largest_cluster;
  });
  devices().current = static_cast<int>(found - all.begin());
  if (found == all.end()) {
    all.push_back({capability, largest_cluster, {}});
  }
}

}  // namespace

bool cluster_fits(const void* kernel, unsigned cluster, std::string& why) {
  const auto& attributes = device().attributes[kernel];
  const auto allowed = attributes.find(cudaFuncAttributeNonPortableClusterSizeAllowed);
  const bool portable = cluster <= kPortableCluster || (allowed != attributes.end() && allowed->second == 1);
  if (cluster == 0 || cluster > device().largest_cluster || !portable || (cluster > 1 && !device().has_clusters())) {
    why = "a cluster of " + std::to_string(cluster) + " blocks (along x) does not fit the device, or was not allowed";
  }
  return why.empty();
}

namespace {

std::string obstacle(const void* kernel, const Launch& launch) {
  const dim3 grid = launch.grid, block = launch.block;
  const auto& attributes = device().attributes[kernel];
  const auto allowed = attributes.find(cudaFuncAttributeMaxDynamicSharedMemorySize);
  const size_t dynamic = allowed == attributes.end() ? kStaticShared : static_cast<size_t>(allowed->second);
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) {
    return "a block has 1 to 1024 threads, not " + std::to_string(threads);
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535) {
    return "the grid has no block or too many";
  }
  if (launch.dynamic > dynamic || launch.dynamic > kDynamicShared) {
    return "more dynamic shared memory than was allowed: " + std::to_string(launch.dynamic) + " bytes";
  }
  std::string why;
  if (cluster_fits(kernel, launch.cluster, why) && grid.x % launch.cluster != 0) {
    return "the cluster does not divide the grid";
  }
  return why;
}

}  // namespace

cudaError_t start(const void* kernel, const Launch& launch) {
  const std::string why = obstacle(kernel, launch);
  if (!why.empty()) {
    machine().error = why;
    return devices().last = cudaErrorInvalidConfiguration;
  }
  machine().run(launch);
  return devices().last = machine().error.empty() ? devices().last : cudaErrorLaunchFailure;
}

}  // namespace emulation

using emulation::device;
using emulation::devices;

cudaError_t cudaGetLastError() {
  return std::exchange(devices().last, cudaSuccess);
}

cudaError_t cudaGetDevice(int* number) {
  *number = devices().current;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = 2;  // so that small batches already go round
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = device().capability / 10;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = device().capability % 10;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = emulation::kDynamicShared;
      return cudaSuccess;
    case cudaDevAttrClusterLaunch:
      *value = device().has_clusters() ? 1 : 0;
      return cudaSuccess;
  }
  return cudaErrorInvalidValue;
}

extern "C" {

__attribute__((visibility("default"))) void emulation_set(uint64_t order, int capability, unsigned largest_cluster) {
  emulation::machine().order = order;
  emulation::choose(capability, largest_cluster);
}

// Returns what went wrong since the last call; empty where nothing did.
__attribute__((visibility("default"))) const char* emulation_error() {
  static std::string text;
  text = std::exchange(emulation::machine().error, {});
  if (text.empty() && devices().last != cudaSuccess) {
    text = "CUDA error " + std::to_string(devices().last);
  }
  devices().last = cudaSuccess;
  return text.c_str();
}
}
