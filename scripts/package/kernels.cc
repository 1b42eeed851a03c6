// Products of the OpenBLAS that a binary holds, on the core that OPENBLAS_CORETYPE names, against plain loops. A program of its own:
// a kernel that writes past its stack may go unnoticed in a larger one.
//
//   kernels CORE[,ALIAS] [--all | --thin]
//
// Every m, n and k from 1 to 1,024 beside two small sides, and squares: a selection of them up to 1,024, with --all every one. All
// transposes, both types. The operands are small whole numbers, so every sum is exact and a result is right or wrong.
//
// --thin is for emulators, a hundred times as slow: of the sides each up to 64, those beside multiples of 128 and every 13th, and squares
// up to 513. Transposes and types are all there, and sides longer than any block of a kernel.
#include <cblas.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr int kMost = 1024;
constexpr int kMargin = 3;  // elements between rows, which no product may touch

// A small whole number for an element of operand `which`.
int Value(int which, int row, int column) {
  std::uint32_t bits = static_cast<std::uint32_t>(row) * 2654435761u ^ static_cast<std::uint32_t>(column) * 2246822519u ^
                       static_cast<std::uint32_t>(which) * 3266489917u;
  bits ^= bits >> 15;
  bits *= 2246822519u;
  return static_cast<int>(bits >> 29) - 3;
}

struct Whole {
  int m, n, k;
  std::vector<int> a, b, c;  // row-major, without margins
};

Whole Reference(int m, int n, int k) {
  Whole whole{m, n, k, {}, {}, {}};
  whole.a.resize(static_cast<std::size_t>(m) * k);
  whole.b.resize(static_cast<std::size_t>(k) * n);
  whole.c.resize(static_cast<std::size_t>(m) * n);
  for (int i = 0; i < m; i++)
    for (int p = 0; p < k; p++) whole.a[static_cast<std::size_t>(i) * k + p] = Value(1, i, p);
  for (int p = 0; p < k; p++)
    for (int j = 0; j < n; j++) whole.b[static_cast<std::size_t>(p) * n + j] = Value(2, p, j);
  for (int i = 0; i < m; i++) {
    int* const row = &whole.c[static_cast<std::size_t>(i) * n];
    for (int p = 0; p < k; p++) {
      const int factor = whole.a[static_cast<std::size_t>(i) * k + p];
      const int* const other = &whole.b[static_cast<std::size_t>(p) * n];
      for (int j = 0; j < n; j++) row[j] += factor * other[j];
    }
  }
  return whole;
}

void Gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, const Whole& w, const float* a, int lda, const float* b, int ldb, float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, ta, tb, w.m, w.n, w.k, 2, a, lda, b, ldb, 1, c, ldc);
}
void Gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, const Whole& w, const double* a, int lda, const double* b, int ldb, double* c, int ldc) {
  cblas_dgemm(CblasRowMajor, ta, tb, w.m, w.n, w.k, 2, a, lda, b, ldb, 1, c, ldc);
}

// A matrix as it is stored: transposed or not, with a margin after each row.
template <class F>
std::vector<F> Stored(const std::vector<int>& values, int rows, int columns, bool transposed, int stride) {
  std::vector<F> stored(static_cast<std::size_t>(transposed ? columns : rows) * stride, F(99));
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++)
      stored[transposed ? static_cast<std::size_t>(j) * stride + i : static_cast<std::size_t>(i) * stride + j] =
          static_cast<F>(values[static_cast<std::size_t>(i) * columns + j]);
  return stored;
}

long products = 0;

// c = 2 · op(a) · op(b) + 7, with every transpose.
template <class F>
bool Right(const Whole& w) {
  for (int way = 0; way < 4; way++) {
    const bool ta = way & 1, tb = way & 2;
    const int lda = (ta ? w.m : w.k) + kMargin, ldb = (tb ? w.k : w.n) + kMargin, ldc = w.n + kMargin;
    const std::vector<F> a = Stored<F>(w.a, w.m, w.k, ta, lda), b = Stored<F>(w.b, w.k, w.n, tb, ldb);
    std::vector<F> c(static_cast<std::size_t>(w.m) * ldc, F(7));
    Gemm(ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, w, a.data(), lda, b.data(), ldb, c.data(), ldc);
    products++;
    for (int i = 0; i < w.m; i++) {
      for (int j = 0; j < ldc; j++) {
        const F expected = j < w.n ? static_cast<F>(2 * w.c[static_cast<std::size_t>(i) * w.n + j] + 7) : F(7);
        const F got = c[static_cast<std::size_t>(i) * ldc + j];
        if (got == expected) continue;
        std::printf("%d × %d × %d, float%d, transposed: %s%s%s: expected %g at row %d, column %d, got %g\n", w.m, w.n, w.k,
                    static_cast<int>(sizeof(F)) * 8, ta ? "a" : "", tb ? "b" : "", way == 0 ? "none" : "",
                    static_cast<double>(expected), i, j, static_cast<double>(got));
        return false;
      }
    }
  }
  return true;
}

bool Try(int m, int n, int k) {
  const Whole whole = Reference(m, n, k);
  return Right<float>(whole) && Right<double>(whole);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) return std::printf("kernels CORE[,ALIAS] [--all | --thin]\n"), 2;
  const bool all = count > 2 && std::strcmp(arguments[2], "--all") == 0;
  const bool thin = count > 2 && std::strcmp(arguments[2], "--thin") == 0;
  const char* const core = openblas_get_corename();
  if (std::strstr(arguments[1], core) == nullptr) return std::printf("expected the core %s, got %s\n", arguments[1], core), 1;
  bool right = true;
  // Around the multiples at which kernels cut.
  const auto beside = [](int size) { return size >= 127 && (size % 128 <= 1 || size % 128 == 127); };
  for (int size = 1; right && size <= kMost; size++) {
    if (thin && size > 64 && !beside(size) && size % 13 != 0) continue;
    right = Try(size, 13, 29) && Try(13, size, 29) && Try(29, 13, size) && (size % 8 != 0 || Try(48, 64, size));
  }
  for (int size = 1; right && size <= (thin ? 513 : kMost); size++) {
    if (all || size <= 48 || beside(size) || size == 400) right = Try(size, size, size);
  }
  if (right) std::printf("%s: %ld products%s\n", core, products, thin ? ", of thinned sides (--thin), all transposes, both types" : "");
  return right ? 0 : 1;
}
