#include "engine/cuda_driver.h"

namespace csflow {
namespace {

constexpr const char *kInstallDriver = "install NVIDIA's driver, or open another device";
constexpr int kMajor = 75; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
constexpr int kMinor = 76;

} // namespace

CudaDriver::CudaDriver()
    : library({"libcuda.so.1"}, "NVIDIA's driver", kInstallDriver),
      init(library.function<decltype(init)>("cuInit")),
      device_count(library.function<decltype(device_count)>("cuDeviceGetCount")),
      device(library.function<decltype(device)>("cuDeviceGet")),
      attribute(library.function<decltype(attribute)>("cuDeviceGetAttribute")),
      retain_context(library.function<decltype(retain_context)>("cuDevicePrimaryCtxRetain")),
      release_context(library.function<decltype(release_context)>("cuDevicePrimaryCtxRelease_v2")),
      push_context(library.function<decltype(push_context)>("cuCtxPushCurrent_v2")),
      pop_context(library.function<decltype(pop_context)>("cuCtxPopCurrent_v2")),
      allocate(library.function<decltype(allocate)>("cuMemAlloc_v2")),
      release(library.function<decltype(release)>("cuMemFree_v2")),
      allocate_host(library.function<decltype(allocate_host)>("cuMemHostAlloc")),
      release_host(library.function<decltype(release_host)>("cuMemFreeHost")),
      copy_in(library.function<decltype(copy_in)>("cuMemcpyHtoDAsync_v2")),
      copy_out(library.function<decltype(copy_out)>("cuMemcpyDtoHAsync_v2")),
      create_stream(library.function<decltype(create_stream)>("cuStreamCreate")),
      destroy_stream(library.function<decltype(destroy_stream)>("cuStreamDestroy_v2")),
      synchronise(library.function<decltype(synchronise)>("cuStreamSynchronize")) {
    int count = 0;
    const int error = init(0);
    if (error != 0 || device_count(&count) != 0 || count == 0) {
        fail(CSFLOW_BACKEND_UNAVAILABLE, "NVIDIA's driver finds no GPU (cuInit gave %d): check the GPU, or open "
                                         "another device", error);
    }
}

std::string CudaDriver::compute_capability() const {
    int gpu = 0;
    int major = 0;
    int minor = 0;
    if (device(&gpu, 0) != 0 || attribute(&major, kMajor, gpu) != 0 || attribute(&minor, kMinor, gpu) != 0) {
        fail(CSFLOW_BACKEND_UNAVAILABLE, "NVIDIA's driver does not describe its GPU: check the driver");
    }
    return std::to_string(major) + "." + std::to_string(minor);
}

} // namespace csflow
