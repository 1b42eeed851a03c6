// Where the windows of a convolution or of pooling lie on images that are stored channels last.
#pragma once

#include <algorithm>

#include "checks.h"

namespace wengert {

// n images of h × w with c channels; p × q windows of kh × kw cells; d channels of the result.
struct Windows {
  std::int64_t n, h, w, c, p, q, d, kh, kw;
  std::int64_t stride_h, stride_w, pad_h, pad_w, step_h, step_w;
  std::int64_t groups;

  // Elements of the image, of the result, of one image of each.
  std::int64_t image() const { return h * w * c; }
  std::int64_t result() const { return p * q * d; }
  // Rows and columns that all windows together reach, the padding before the image included.
  std::int64_t rows() const { return (p - 1) * stride_h + (kh - 1) * step_h + 1; }
  std::int64_t columns() const { return (q - 1) * stride_w + (kw - 1) * step_w + 1; }
};

// The cells of one axis, first … end − 1, of a window that begins at `start` (which may be before the image) that lie on an
// image of `size`; `step` is 1 or more.
struct CellRange {
  std::int64_t first, end;
};
inline CellRange CellsOn(std::int64_t start, std::int64_t cells, std::int64_t step, std::int64_t size) {
  const std::int64_t first = start < 0 ? (-start + step - 1) / step : 0;
  const std::int64_t end = start < size ? std::min(cells, (size - 1 - start) / step + 1) : 0;
  return {first, std::max(first, end)};
}

// Every row and column that a window reaches is a safe integer, and windows and cells go forwards.
inline const Windows& CheckReach(const char* op, const Windows& s) {
  const std::int64_t least = std::min({s.stride_h, s.stride_w, s.step_h, s.step_w});
  if (least < 1) Refuse(op, "strides and dilations of 1 or more", least);
  const auto axis = [&](std::int64_t count, std::int64_t stride, std::int64_t cells, std::int64_t step) {
    Volume(op, {std::max<std::int64_t>(1, count), std::max<std::int64_t>(1, stride)});
    Volume(op, {std::max<std::int64_t>(1, cells), std::max<std::int64_t>(1, step)});
  };
  axis(s.p, s.stride_h, s.kh, s.step_h);
  axis(s.q, s.stride_w, s.kw, s.step_w);
  return s;
}

}  // namespace wengert
