/**
 * Products by the addon, on the core of OpenBLAS that OPENBLAS_CORETYPE names, against plain loops:
 *
 *   node kernels-addon.mjs ADDON CORE[,ALIAS]
 *
 * Sides from 1 to 1,024, all transposes, both types, as scripts/package/kernels.cc does in a program of its own. The operands are small
 * whole numbers, so every sum is exact.
 */
import { createRequire } from 'node:module'

const [, , file, core] = process.argv
const addon = createRequire(import.meta.url)(file)
const { kernels, blas } = addon.describe()
if (!core.split(',').includes(blas)) throw new Error(`expected the core ${core}, got ${blas}`)
const matmul = kernels.indexOf('matmul')

let seed = 1
const small = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return (seed >>> 29) - 3
}
const matrix = (rows, columns) => Array.from({ length: rows }, () => Int32Array.from({ length: columns }, small))
const stored = (Type, rows, transposed) => {
  const [m, n] = [rows.length, rows[0].length]
  const values = new Type(m * n)
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) values[transposed ? j * m + i : i * n + j] = rows[i][j]
  return values
}

function whole(a, b, n) {
  return a.map((row) => {
    const sums = new Int32Array(n)
    for (const [p, factor] of row.entries()) {
      const other = b[p]
      for (let j = 0; j < n; j++) sums[j] += factor * other[j]
    }
    return sums
  })
}

let products = 0
function check(m, n, k) {
  const [a, b] = [matrix(m, k), matrix(k, n)]
  const expected = whole(a, b, n)
  for (const Type of [Float32Array, Float64Array]) {
    for (let way = 0; way < 4; way++) {
      const [ta, tb] = [way & 1, way >> 1]
      const c = new Type(m * n)
      addon.call(Float64Array.of(matmul, 1, 2, 8, 2, 1, m, n, k, ta, tb, 0, 0, 1, 0), c, stored(Type, a, ta), stored(Type, b, tb))
      products++
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++)
          if (c[i * n + j] !== expected[i][j])
            throw new Error(
              `${m} × ${n} × ${k}, ${Type.name}, transposed ${ta} ${tb}: expected ${expected[i][j]} at ${i}, ${j}, got ${c[i * n + j]}`,
            )
    }
  }
}

for (let size = 1; size <= 1024; size += size < 64 ? 1 : 7) {
  check(size, 13, 29)
  check(13, size, 29)
  check(29, 13, size)
}
for (const size of [1, 2, 3, 7, 16, 31, 64, 100, 128, 129, 192, 256, 257, 320, 384, 400, 512, 513, 640, 768, 1024]) check(size, size, size)
console.log(`${blas}: ${products} products`)
