#include "blas.h"

#include <cblas.h>

#include <cstring>
#include <initializer_list>

namespace wengert {

namespace {

// Our own pool splits products, so that the bits do not depend on the number of threads: OpenBLAS has one.
const char* Start() {
  openblas_set_num_threads(1);
  return openblas_get_corename();
}

CBLAS_TRANSPOSE Trans(bool trans) { return trans ? CblasTrans : CblasNoTrans; }

}  // namespace

const char* BlasName() {
  static const char* const name = Start();
  return name;
}

// Cores on which products cut at multiples of 12 were compared with whole ones, bit for bit, in both types.
Cut BlasCut() {
  for (const char* core : {"Haswell", "Zen", "SkylakeX", "Cooperlake"}) {
    if (std::strcmp(BlasName(), core) == 0) return Cut::kTwelves;
  }
  return Cut::kFixed;
}

template <>
void Gemm<float>(bool trans_a, bool trans_b, std::size_t m, std::size_t n, std::size_t k, float alpha, const float* a,
                 std::size_t lda, const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc) {
  cblas_sgemm(CblasRowMajor, Trans(trans_a), Trans(trans_b), static_cast<blasint>(m), static_cast<blasint>(n),
              static_cast<blasint>(k), alpha, a, static_cast<blasint>(lda), b, static_cast<blasint>(ldb), beta, c,
              static_cast<blasint>(ldc));
}

template <>
void Gemm<double>(bool trans_a, bool trans_b, std::size_t m, std::size_t n, std::size_t k, double alpha,
                  const double* a, std::size_t lda, const double* b, std::size_t ldb, double beta, double* c,
                  std::size_t ldc) {
  cblas_dgemm(CblasRowMajor, Trans(trans_a), Trans(trans_b), static_cast<blasint>(m), static_cast<blasint>(n),
              static_cast<blasint>(k), alpha, a, static_cast<blasint>(lda), b, static_cast<blasint>(ldb), beta, c,
              static_cast<blasint>(ldc));
}

}  // namespace wengert
