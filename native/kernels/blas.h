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

// c[m, n] = alpha · op(a) · op(b) + beta · c, row-major; lda, ldb, ldc are the stored matrices' row lengths.
template <class F>
void Gemm(bool trans_a, bool trans_b, std::size_t m, std::size_t n, std::size_t k, F alpha, const F* a, std::size_t lda,
          const F* b, std::size_t ldb, F beta, F* c, std::size_t ldc);

}  // namespace wengert
