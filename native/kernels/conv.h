// What convolution and its transposes share: panels of channels, planes around images, the geometry and how a call is cut
// into parts.
//
// n, h, w, c, p, q, d, kh, kw as in windows.h; own = c / groups and each = d / groups channels of a group.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "isa.h"
#include "thresholds.h"
#include "windows.h"
#include "../program/pool.h"

namespace wengert::convolution {

// Part `part` of `parts` of so many things: where it begins.
inline std::int64_t Begin(std::int64_t things, int part, int parts) { return things * part / parts; }

inline std::size_t Aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// Columns of channels as panels: where each begins, how many channels it holds, and the loops for its width.
struct Panel {
  std::int64_t first;
  std::size_t channels;
  int width;
};

template <class F>
std::vector<Panel> PanelsOf(const ConvTable<F>& table, std::int64_t channels) {
  std::vector<Panel> panels;
  for (std::int64_t at = 0; at < channels;) {
    const std::size_t left = static_cast<std::size_t>(channels - at);
    const int width = left <= table.panel[0] ? 0 : left <= table.panel[1] ? 1 : 2;
    const std::size_t taken = std::min(left, table.panel[width]);
    panels.push_back({at, taken, width});
    at += static_cast<std::int64_t>(taken);
  }
  return panels;
}

// An image with what stands around it: rows × columns of `channels`, the image's own first row and column at top, left.
struct Plane {
  std::int64_t rows, columns, channels, top, left;
  bool own = false;  // the image needs nothing around it and is read where it lies

  std::size_t elements() const { return own ? 0 : static_cast<std::size_t>(rows * columns * channels); }
  std::ptrdiff_t pitch() const { return columns * channels; }

  // Copies the part of an image of h × w that lies on the plane; all else was zeroed before.
  template <class F>
  void Fill(F* plane, const F* image, std::int64_t h, std::int64_t w) const {
    const std::int64_t first = std::max<std::int64_t>(0, -top);
    const std::int64_t last = std::min(h, rows - top);
    const std::int64_t begin = std::max<std::int64_t>(0, -left);
    const std::int64_t end = std::min(w, columns - left);
    if (end <= begin) return;
    for (std::int64_t row = first; row < last; row++) {
      std::memcpy(plane + ((row + top) * columns + begin + left) * channels, image + (row * w + begin) * channels,
                  static_cast<std::size_t>((end - begin) * channels) * sizeof(F));
    }
  }
};

// Whether a plane is worth its memory: at most some times the image.
inline bool Reasonable(double elements, double image) { return elements <= 8 * image + 65536; }

// What all three share: the geometry, how it is cut into parts, and their memory.
template <class F>
class Base : public Instruction {
 public:
  Base(const Windows& s, std::int64_t things)
      : s_(s), own_(s.c / s.groups), each_(s.d / s.groups), table_(WENGERT_TABLE(Conv, F)) {
    const double work = static_cast<double>(s.n) * static_cast<double>(s.p * s.q) * static_cast<double>(s.d) *
                        static_cast<double>(s.kh * s.kw * own_);
    const std::int64_t most = work < thresholds::kSplitConvolution ? 1 : Pool::threads();
    parts_ = static_cast<int>(std::max<std::int64_t>(1, std::min(most, things)));
  }

  std::size_t Workspace() const override { return shared_ + static_cast<std::size_t>(parts_) * part_; }

 protected:
  // Runs task(part) for all parts.
  template <class T>
  void Parts(Context& context, const T& task) const {
    if (parts_ == 1 || context.pool == nullptr) {
      for (int part = 0; part < parts_; part++) task(part);
      return;
    }
    context.pool->Run(
        parts_, [](void* argument, int part) { (*static_cast<const T*>(argument))(part); }, const_cast<T*>(&task));
  }
  F* PartOf(Context& context, int part) const {
    return reinterpret_cast<F*>(static_cast<char*>(context.workspace) + shared_ + static_cast<std::size_t>(part) * part_);
  }
  bool depthwise() const { return own_ == 1 && each_ == 1 && s_.groups > 1; }

  // Calls visit(image, result, cell) with offsets of channels for every cell on the image of the windows of images
  // from … to − 1.
  template <class Visit>
  void Walk(std::int64_t from, std::int64_t to, const Visit& visit) const {
    for (std::int64_t n = from; n < to; n++) {
      for (std::int64_t p = 0; p < s_.p; p++) {
        for (std::int64_t q = 0; q < s_.q; q++) {
          for (std::int64_t a = 0; a < s_.kh; a++) {
            const std::int64_t row = p * s_.stride_h + a * s_.step_h - s_.pad_h;
            if (row < 0 || row >= s_.h) continue;
            for (std::int64_t b = 0; b < s_.kw; b++) {
              const std::int64_t column = q * s_.stride_w + b * s_.step_w - s_.pad_w;
              if (column < 0 || column >= s_.w) continue;
              visit(((n * s_.h + row) * s_.w + column) * s_.c, ((n * s_.p + p) * s_.q + q) * s_.d,
                    (a * s_.kw + b) * own_ * s_.d);
            }
          }
        }
      }
    }
  }

  // The plane on which the windows of conv lie.
  Plane PlaneOfWindows() const {
    Plane plane{s_.rows(), s_.columns(), s_.c, s_.pad_h, s_.pad_w};
    if (s_.pad_h == 0 && s_.pad_w == 0 && plane.rows <= s_.h && plane.columns <= s_.w) {
      plane.own = true;
      plane.columns = s_.w;
    }
    return plane;
  }

  const Windows s_;
  const std::int64_t own_, each_;
  const ConvTable<F>& table_;
  int parts_ = 1;
  std::size_t shared_ = 0;  // bytes of the workspace that all parts read
  std::size_t part_ = 0;    // bytes of each part's own
};

// The three operands in the order of a call: its output, then its inputs.
enum Role { kX, kW, kY };

template <template <class> class Kernel>
std::unique_ptr<Instruction> PrepareConvolution(const char* op, const Call& call, const Role (&roles)[3],
                                                const char* const (&names)[3]) {
  const std::int64_t* i = CheckDims(op, call, 16);
  CheckScalars(op, call, 0);
  const Windows s = {i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10], i[11], i[12], i[13], i[14], i[15]};
  if (s.groups < 1 || s.c % s.groups != 0 || s.d % s.groups != 0) {
    Refuse(op, "groups that divide " + std::to_string(s.c) + " and " + std::to_string(s.d) + " channels", s.groups);
  }
  CheckReach(op, s);
  CheckCounts(op, call, 1, 2);
  const std::int64_t sizes[] = {Volume(op, {s.n, s.h, s.w, s.c}), Volume(op, {s.kh, s.kw, s.c / s.groups, s.d}),
                                Volume(op, {s.n, s.p, s.q, s.d})};
  const Dtype dtype = CheckOperand(op, names[0], call.outputs[0], Kind::kFloat, sizes[roles[0]]);
  CheckOperand(op, names[1], call.inputs[0], Exactly(dtype), sizes[roles[1]]);
  CheckOperand(op, names[2], call.inputs[1], Exactly(dtype), sizes[roles[2]]);
  if (dtype == Dtype::kFloat32) return std::make_unique<Kernel<float>>(s);
  return std::make_unique<Kernel<double>>(s);
}

}  // namespace wengert::convolution
