// The part of the CUDA runtime that launches use. The emulated device is set from the tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "machine.h"

using cudaStream_t = struct EmulatedStream*;

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorLaunchFailure = 719
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
  cudaDevAttrClusterLaunch = 120,
};
enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributeNonPortableClusterSizeAllowed = 13,
};
enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension = 4 };

struct cudaFuncAttributes {
  int binaryVersion, ptxVersion;
};

struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    struct {
      unsigned x, y, z;
    } clusterDim;
  } val;
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

namespace emulation {

constexpr unsigned kPortableCluster = 8;

struct Device {
  int capability;  // 10 * major + minor
  unsigned largest_cluster;
  std::map<const void*, std::map<cudaFuncAttribute, int>> attributes;

  bool has_clusters() const { return capability >= 90; }
};

// What has been seen of devices: each keeps its number and what was set on it.
struct Devices {
  std::vector<Device> all = {{90, 16, {}}};
  int current = 0;
  cudaError_t last = cudaSuccess;
};

Devices& devices();

inline Device& device() {
  return devices().all[static_cast<size_t>(devices().current)];
}

// Checks what a device would check, then runs; what is wrong is in machine().error and in cudaGetLastError.
cudaError_t start(const void* kernel, const Launch& launch);

// Whether a cluster of this size could run; `why` says why not.
bool cluster_fits(const void* kernel, unsigned cluster, std::string& why);

inline unsigned cluster_of(const cudaLaunchConfig_t& config) {
  unsigned cluster = 1;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const auto& size = config.attrs[i].val.clusterDim;
    cluster = size.y == 1 && size.z == 1 ? size.x : 0;
  }
  return cluster;
}

struct Config {
  dim3 grid, block;
  size_t shared = 0;
  cudaStream_t stream = nullptr;

  template <class... Arguments>
  auto operator()(const Arguments&... arguments) const {
    return std::pair(Launch{grid, block, 1, shared, {}}, std::tuple(arguments...));
  }
};

template <class... Parameters, class... Arguments>
cudaError_t start(void (*kernel)(Parameters...), Launch launch, const std::tuple<Arguments...>& arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments));
  launch.body = [&] { std::apply(kernel, arguments); };
  return start(reinterpret_cast<const void*>(kernel), launch);
}

// kernel<<<grid, block, shared, stream>>>(arguments) is translated to kernel * Config{grid, ...}(arguments).
template <class... Parameters, class... Arguments>
void operator*(void (*kernel)(Parameters...), const std::pair<Launch, std::tuple<Arguments...>>& call) {
  start(kernel, call.first, call.second);
}

}  // namespace emulation

using emulation::operator*;

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const emulation::Launch launch = {
      config->gridDim, config->blockDim, emulation::cluster_of(*config), config->dynamicSmemBytes, {}};
  return emulation::start(kernel, launch, std::tuple<Parameters...>(arguments...));
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  emulation::device().attributes[reinterpret_cast<const void*>(kernel)][attribute] = value;
  return cudaSuccess;
}

template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  *attributes = {emulation::device().capability, emulation::device().capability};
  return cudaSuccess;
}

template <class Kernel>
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, Kernel* kernel, const cudaLaunchConfig_t* config) {
  std::string why;
  *clusters =
      emulation::cluster_fits(reinterpret_cast<const void*>(kernel), emulation::cluster_of(*config), why) ? 1 : 0;
  return cudaSuccess;
}

cudaError_t cudaGetLastError();
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
