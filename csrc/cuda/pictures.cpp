// The CUDA operators for pictures: arguments are checked, then a kernel is launched on PyTorch's current stream.
#include "pictures.h"

#include "../common/picture_arguments.h"
#include "dispatch.h"

namespace featlab {
namespace {

// Calls launch(stream) on the tensor's device, where there is anything to do.
template <class Launch>
void launch_on(const Tensor& tensor, const Launch& launch) {
  if (tensor.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(tensor.get_device_index());
  launch(current_stream(tensor));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

void total_variation(Tensor images, Tensor weight, int64_t form, double delta, Tensor value, Tensor slope) {
  const VariationCall call = variation_call(images, weight, form, delta, value, slope);
  const VariationArguments arguments = {call.batch.rows,
                                        call.batch.size,
                                        call.planes,
                                        call.images,
                                        call.value,
                                        call.slope,
                                        {call.weight.data, call.weight.stride},
                                        call.knee};
  launch_on(images, [&](cudaStream_t stream) { launch_total_variation(static_cast<int>(form), arguments, stream); });
}

ColourArguments colour_arguments(const ColourCall& call, const Tensor& points, const Tensor& matrix,
                                 const Tensor& std) {
  return {call.rows,
          call.pixels,
          points.const_data_ptr<float>(),
          nullptr,
          nullptr,
          matrix.const_data_ptr<float>(),
          nullptr,
          std.const_data_ptr<float>(),
          call.last,
          call.other_last,
          call.brain};
}

void colour(Tensor points, Tensor matrix, Tensor mean, Tensor std, Tensor out) {
  const ColourCall call = colour_call("featlab::colour", points, out, {&matrix, &mean, &std});
  ColourArguments arguments = colour_arguments(call, points, matrix, std);
  arguments.mean = mean.const_data_ptr<float>();
  arguments.colours = out.mutable_data_ptr();
  launch_on(points, [&](cudaStream_t stream) { launch_colour(arguments, stream); });
}

void colour_backward(Tensor grad, Tensor points, Tensor matrix, Tensor std, Tensor out) {
  const char* op = "featlab::colour_backward";
  const ColourCall call = colour_call(op, points, grad, {&matrix, &std});
  check_like(op, points, {&out});
  check_float(op, {&out});
  ColourArguments arguments = colour_arguments(call, points, matrix, std);
  arguments.colours = const_cast<void*>(grad.const_data_ptr());  // read here, written by `colour`
  arguments.slope = out.mutable_data_ptr<float>();
  launch_on(points, [&](cudaStream_t stream) { launch_colour_backward(arguments, stream); });
}

AffineArguments affine_arguments(const char* op, const Tensor& from, const Tensor& theta, bool edge,
                                 const Tensor& out) {
  const AffineCall call = affine_call(op, from, theta, out);
  return {call.batch.rows, call.batch.size, call.from,    call.theta, call.to, call.channels,
          call.height,     call.width,      call.channel, call.pixel, edge};
}

void affine(Tensor images, Tensor theta, bool edge, Tensor out) {
  const AffineArguments arguments = affine_arguments("featlab::affine", images, theta, edge, out);
  launch_on(out, [&](cudaStream_t stream) { launch_affine(arguments, stream); });
}

void affine_backward(Tensor grad, Tensor theta, bool edge, Tensor out) {
  const AffineArguments arguments = affine_arguments("featlab::affine_backward", grad, theta, edge, out);
  launch_on(out, [&](cudaStream_t stream) { launch_affine_backward(arguments, stream); });
}

}  // namespace
}  // namespace featlab

STABLE_TORCH_LIBRARY_IMPL(featlab, CUDA, m) {
  m.impl("total_variation", TORCH_BOX(&featlab::total_variation));
  m.impl("colour", TORCH_BOX(&featlab::colour));
  m.impl("colour_backward", TORCH_BOX(&featlab::colour_backward));
  m.impl("affine", TORCH_BOX(&featlab::affine));
  m.impl("affine_backward", TORCH_BOX(&featlab::affine_backward));
}
