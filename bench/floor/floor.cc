// Products through OpenBLAS and nothing else, for the bench: run(products, double, threads, count) makes all products so
// many times and returns the seconds that it took. `products` is an Int32Array of m, n, k, transA, transB, update for
// each: c[m, n] = op(a) · op(b), or with `update` c ← c − ε · op(a) · op(b). A side of one makes it a GEMV or GER.
#include <cblas.h>
#include <node_api.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

template <class F>
struct Product {
  int m, n, k;
  bool trans_a, trans_b, update;
  std::vector<F> a, b, c;
};

CBLAS_TRANSPOSE Trans(bool trans) { return trans ? CblasTrans : CblasNoTrans; }

void Gemm(Product<float>& p, float alpha, float beta) {
  cblas_sgemm(CblasRowMajor, Trans(p.trans_a), Trans(p.trans_b), p.m, p.n, p.k, alpha, p.a.data(),
              p.trans_a ? p.m : p.k, p.b.data(), p.trans_b ? p.k : p.n, beta, p.c.data(), p.n);
}
void Gemm(Product<double>& p, double alpha, double beta) {
  cblas_dgemm(CblasRowMajor, Trans(p.trans_a), Trans(p.trans_b), p.m, p.n, p.k, alpha, p.a.data(),
              p.trans_a ? p.m : p.k, p.b.data(), p.trans_b ? p.k : p.n, beta, p.c.data(), p.n);
}
void Gemv(bool trans, int rows, int cols, float alpha, const float* m, const float* x, float beta, float* y) {
  cblas_sgemv(CblasRowMajor, Trans(trans), rows, cols, alpha, m, cols, x, 1, beta, y, 1);
}
void Gemv(bool trans, int rows, int cols, double alpha, const double* m, const double* x, double beta, double* y) {
  cblas_dgemv(CblasRowMajor, Trans(trans), rows, cols, alpha, m, cols, x, 1, beta, y, 1);
}
void Ger(Product<float>& p, float alpha) {
  cblas_sger(CblasRowMajor, p.m, p.n, alpha, p.a.data(), 1, p.b.data(), 1, p.c.data(), p.n);
}
void Ger(Product<double>& p, double alpha) {
  cblas_dger(CblasRowMajor, p.m, p.n, alpha, p.a.data(), 1, p.b.data(), 1, p.c.data(), p.n);
}

template <class F>
void Make(Product<F>& p) {
  const F alpha = p.update ? F(-1e-12) : F(1);
  const F beta = p.update ? F(1) : F(0);
  if (p.k == 1 && p.update) {
    Ger(p, alpha);
  } else if (p.m == 1) {
    Gemv(!p.trans_b, p.trans_b ? p.n : p.k, p.trans_b ? p.k : p.n, alpha, p.b.data(), p.a.data(), beta, p.c.data());
  } else if (p.n == 1) {
    Gemv(p.trans_a, p.trans_a ? p.k : p.m, p.trans_a ? p.m : p.k, alpha, p.a.data(), p.b.data(), beta, p.c.data());
  } else {
    Gemm(p, alpha, beta);
  }
}

template <class F>
double Time(const std::int32_t* words, std::size_t count, std::int64_t times) {
  std::vector<Product<F>> products;
  std::uint32_t seed = 11;
  const auto fill = [&](std::vector<F>& values, std::size_t length) {
    values.resize(length);
    for (F& value : values) {
      seed = seed * 1664525u + 1013904223u;
      value = F(seed >> 8) / F(1 << 23) - F(1);
    }
  };
  for (std::size_t i = 0; i < count; i++, words += 6) {
    products.push_back({words[0], words[1], words[2], words[3] != 0, words[4] != 0, words[5] != 0, {}, {}, {}});
    Product<F>& p = products.back();
    fill(p.a, static_cast<std::size_t>(p.m) * static_cast<std::size_t>(p.k));
    fill(p.b, static_cast<std::size_t>(p.k) * static_cast<std::size_t>(p.n));
    fill(p.c, static_cast<std::size_t>(p.m) * static_cast<std::size_t>(p.n));
  }
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t t = 0; t < times; t++) {
    for (Product<F>& p : products) Make(p);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

napi_value Run(napi_env env, napi_callback_info info) {
  napi_value args[4];
  std::size_t given = 4;
  napi_typedarray_type type;
  std::size_t length;
  void* data;
  bool doubles;
  std::int32_t threads;
  std::int64_t times;
  const bool understood = napi_get_cb_info(env, info, &given, args, nullptr, nullptr) == napi_ok && given == 4 &&
                          napi_get_typedarray_info(env, args[0], &type, &length, &data, nullptr, nullptr) == napi_ok &&
                          type == napi_int32_array && length % 6 == 0 &&
                          napi_get_value_bool(env, args[1], &doubles) == napi_ok &&
                          napi_get_value_int32(env, args[2], &threads) == napi_ok &&
                          napi_get_value_int64(env, args[3], &times) == napi_ok;
  if (!understood) {
    napi_throw_type_error(env, nullptr, "floor: expected (Int32Array of sixes, boolean, integer, integer)");
    return nullptr;
  }
  openblas_set_num_threads(threads);
  const std::int32_t* const words = static_cast<const std::int32_t*>(data);
  const double seconds = doubles ? Time<double>(words, length / 6, times) : Time<float>(words, length / 6, times);
  napi_value result;
  return napi_create_double(env, seconds, &result) == napi_ok ? result : nullptr;
}

// h ← A h + x for each row x of xs, the cost Σ h² over all of them, and its gradients by A, the first h and xs: plain loops, as
// one writes them by hand. Gives the cost, so that nothing is left out.
double Recur(const float* a, const float* first, const float* xs, std::size_t n, std::size_t length, std::vector<float>& memory) {
  memory.resize((2 * length + 1) * n + n * n + 2 * n);
  float* const hs = memory.data();
  float* const dxs = hs + (length + 1) * n;
  float* const da = dxs + length * n;
  float* const g = da + n * n;
  for (std::size_t i = 0; i < n; i++) hs[i] = first[i];
  double cost = 0;
  for (std::size_t t = 0; t < length; t++) {
    const float* const h = hs + t * n;
    float* const next = hs + (t + 1) * n;
    for (std::size_t i = 0; i < n; i++) {
      float sum = xs[t * n + i];
      for (std::size_t k = 0; k < n; k++) sum += a[i * n + k] * h[k];
      next[i] = sum;
      cost += static_cast<double>(sum) * static_cast<double>(sum);
    }
  }
  for (std::size_t i = 0; i < n * n; i++) da[i] = 0;
  for (std::size_t i = 0; i < n; i++) g[i] = 0;
  for (std::size_t t = length; t-- > 0;) {
    const float* const h = hs + t * n;
    float* const dx = dxs + t * n;
    for (std::size_t i = 0; i < n; i++) dx[i] = g[i] + 2 * hs[(t + 1) * n + i];
    for (std::size_t i = 0; i < n; i++) g[i] = 0;
    for (std::size_t i = 0; i < n; i++) {
      for (std::size_t k = 0; k < n; k++) {
        da[i * n + k] += dx[i] * h[k];
        g[k] += a[i * n + k] * dx[i];
      }
    }
  }
  return cost + static_cast<double>(g[0]) + static_cast<double>(da[0]);
}

// recurrence(a, h, xs, count): Float32Arrays of n · n, n and length · n.
napi_value Recurrence(napi_env env, napi_callback_info info) {
  napi_value args[4];
  std::size_t given = 4;
  float* arrays[3];
  std::size_t lengths[3];
  std::int64_t times = 0;
  bool understood = napi_get_cb_info(env, info, &given, args, nullptr, nullptr) == napi_ok && given == 4 &&
                    napi_get_value_int64(env, args[3], &times) == napi_ok;
  for (std::size_t i = 0; understood && i < 3; i++) {
    napi_typedarray_type type;
    void* data;
    understood = napi_get_typedarray_info(env, args[i], &type, &lengths[i], &data, nullptr, nullptr) == napi_ok &&
                 type == napi_float32_array;
    arrays[i] = static_cast<float*>(data);
  }
  if (!understood || lengths[0] != lengths[1] * lengths[1] || lengths[2] % lengths[1] != 0) {
    napi_throw_type_error(env, nullptr, "floor: expected Float32Arrays of n·n, n and length·n, and an integer");
    return nullptr;
  }
  std::vector<float> memory;
  double cost = 0;
  for (std::int64_t i = 0; i < times; i++) cost += Recur(arrays[0], arrays[1], arrays[2], lengths[1], lengths[2] / lengths[1], memory);
  napi_value result;
  return napi_create_double(env, cost, &result) == napi_ok ? result : nullptr;
}

napi_value Init(napi_env env, napi_value exports) {
  napi_value run;
  if (napi_create_function(env, "run", NAPI_AUTO_LENGTH, Run, nullptr, &run) == napi_ok) {
    napi_set_named_property(env, exports, "run", run);
  }
  napi_value recurrence;
  if (napi_create_function(env, "recurrence", NAPI_AUTO_LENGTH, Recurrence, nullptr, &recurrence) == napi_ok) {
    napi_set_named_property(env, exports, "recurrence", recurrence);
  }
  return exports;
}

}  // namespace

NAPI_MODULE(floor, Init)
