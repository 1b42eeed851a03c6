// OpenBLAS as the kernels use it: one thread, whole products or rows of one.
#pragma once

#include <cstddef>

namespace wengert {

// How a product may be cut into rows of C without changing its bits.
enum class Cut {
  kTwelves,  // anywhere at a multiple of 12, as long as every piece is large (kLargePiece)
  kFixed,    // nowhere: tiles are fixed by the shape, at any thread count
};

// Multiply-adds from which OpenBLAS does not take its kernels for small matrices, whose sums are ordered otherwise.
constexpr double kLargePiece = 1000000;

// The kernel in use, as OpenBLAS calls it ("Haswell", "SkylakeX", …).
const char* BlasName();
Cut BlasCut();

// OpenBLAS packs what it multiplies into a buffer for each thread that multiplies at the time, and where the system has
// none it asks for it again, for ever. So buffers are had before: as many as there are threads that may multiply.

// One thread that may multiply, from before it begins until it has ended. Throws std::bad_alloc where there is no
// buffer for it.
class BlasThread {
 public:
  BlasThread();
  ~BlasThread();
  BlasThread(const BlasThread&) = delete;
  BlasThread& operator=(const BlasThread&) = delete;
};

// Called by whoever prepares a product, on the thread that may run it at once: until the first call no buffers are had.
// Throws std::bad_alloc.
void PrepareBlas();

// c[m, n] = alpha · op(a) · op(b) + beta · c, row-major; lda, ldb, ldc are the stored matrices' row lengths.
template <class F>
void Gemm(bool trans_a, bool trans_b, std::size_t m, std::size_t n, std::size_t k, F alpha, const F* a, std::size_t lda,
          const F* b, std::size_t ldb, F beta, F* c, std::size_t ldc);

}  // namespace wengert
