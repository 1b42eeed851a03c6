// The loops of the elementwise kernel, compiled once for each instruction set: see isa.h.
#include "elementwise_functions.h"
#include "elementwise_ops.h"

namespace wengert {
namespace WENGERT_ISA_NAMESPACE {

namespace {

// Operands that an operation does not have are not read: the optimiser drops the loads whose value is unused.
#define WENGERT_DEFINE(name, arity, cost, value)                               \
  template <class F>                                                           \
  void Map_##name(std::size_t n, F* dst, const F* a, const F* b, const F* c) { \
    WENGERT_IVDEP                                                              \
    for (std::size_t i = 0; i < n; i++) {                                      \
      [[maybe_unused]] const F x = a[i];                                       \
      [[maybe_unused]] const F y = b[i];                                       \
      [[maybe_unused]] const F z = c[i];                                       \
      dst[i] = value;                                                          \
    }                                                                          \
  }
WENGERT_ELEMENTWISE(WENGERT_DEFINE)

// Circular functions: as vectors where no number is far.
#define WENGERT_CIRCULAR(F, name, Name)                                              \
  template <>                                                                        \
  void Map_##name<F>(std::size_t n, F* dst, const F* a, const F*, const F*) {        \
    bool far = false;                                                                \
    for (std::size_t i = 0; i < n; i++) far |= wide::Far(a[i]);                      \
    if (far) {                                                                       \
      for (std::size_t i = 0; i < n; i++) dst[i] = Name(a[i]);                       \
      return;                                                                        \
    }                                                                                \
    WENGERT_IVDEP                                                                    \
    for (std::size_t i = 0; i < n; i++) dst[i] = wide::Name##Near(a[i]);             \
  }
WENGERT_CIRCULAR(float, sin, Sin)
WENGERT_CIRCULAR(float, cos, Cos)
WENGERT_CIRCULAR(float, tan, Tan)
WENGERT_CIRCULAR(double, sin, Sin)
WENGERT_CIRCULAR(double, cos, Cos)
WENGERT_CIRCULAR(double, tan, Tan)

// Remainders: as vectors where all quotients are near.
#define WENGERT_REMAINDER(F)                                                         \
  template <>                                                                        \
  void Map_mod<F>(std::size_t n, F* dst, const F* a, const F* b, const F*) {         \
    bool near = true;                                                                \
    for (std::size_t i = 0; i < n; i++) near &= wide::Divides(a[i], b[i]);           \
    if (!near) {                                                                     \
      for (std::size_t i = 0; i < n; i++) dst[i] = Mod(a[i], b[i]);                  \
      return;                                                                        \
    }                                                                                \
    WENGERT_IVDEP                                                                    \
    for (std::size_t i = 0; i < n; i++) dst[i] = wide::ModNear(a[i], b[i]);          \
  }
WENGERT_REMAINDER(float)
WENGERT_REMAINDER(double)

template <class F, class T>
void Load(std::size_t n, F* dst, const void* src) {
  const T* from = static_cast<const T*>(src);
  WENGERT_IVDEP
  for (std::size_t i = 0; i < n; i++) dst[i] = static_cast<F>(from[i]);
}

template <class F, class T>
void StoreFloat(std::size_t n, void* dst, const F* src) {
  T* to = static_cast<T*>(dst);
  WENGERT_IVDEP
  for (std::size_t i = 0; i < n; i++) to[i] = static_cast<T>(src[i]);
}

template <class F>
void StoreInt32(std::size_t n, void* dst, const F* src) {
  std::int32_t* to = static_cast<std::int32_t*>(dst);
  for (std::size_t i = 0; i < n; i++) to[i] = ToInt32(src[i]);
}

template <class F>
void StoreBool(std::size_t n, void* dst, const F* src) {
  std::uint8_t* to = static_cast<std::uint8_t*>(dst);
  for (std::size_t i = 0; i < n; i++) to[i] = src[i] != F(0);
}

template <class F>
void Fill(std::size_t n, F* dst, F value) {
  for (std::size_t i = 0; i < n; i++) dst[i] = value;
}

template <class F>
void Spread(std::size_t rows, std::size_t cols, F* dst, const F* column) {
  for (std::size_t r = 0; r < rows; r++, dst += cols) {
    const F value = column[r];
    for (std::size_t i = 0; i < cols; i++) dst[i] = value;
  }
}

#define WENGERT_ENTRY(name, arity, cost, value) Map_##name<F>,
template <class F>
constexpr ElementwiseTable<F> kTable = {
    {WENGERT_ELEMENTWISE(WENGERT_ENTRY)},
    {Load<F, float>, Load<F, double>, Load<F, std::int32_t>, Load<F, std::uint8_t>},
    {StoreFloat<F, float>, StoreFloat<F, double>, StoreInt32<F>, StoreBool<F>},
    Fill<F>,
    Spread<F>,
};

}  // namespace

const ElementwiseTable<float> kElementwiseF32 = kTable<float>;
const ElementwiseTable<double> kElementwiseF64 = kTable<double>;

}  // namespace WENGERT_ISA_NAMESPACE
}  // namespace wengert
