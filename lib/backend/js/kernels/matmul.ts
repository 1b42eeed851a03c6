/**
 * matmul: c = alpha · s · op(a) · op(b) + beta · c, per matrix of a batch. Products are summed in double precision and
 * rounded once, when c is stored, whatever the type.
 *
 * m, n, k: c is [m, n], op(a) [m, k], op(b) [k, n]; i, j, p run over them. A matrix is read through two strides, so a
 * transposition is only a choice of strides. Three ways, chosen when the call is prepared:
 *   - tiny: three plain loops;
 *   - outer and thin: k = 1, or one side of c thinner than a block, where packing would cost as much as the product;
 *   - blocked: panels of a (4 rows) and b (2 columns) are packed as doubles, and a 4 × 2 block of sums stays in registers.
 */

import { thresholds } from '../thresholds.js'
import {
  checkCounts,
  checkOperand,
  type Floats,
  integers,
  malformed,
  type Operand,
  type Prepare,
  type Ref,
  scalarsOf,
  volume,
} from './kernel.js'

/** Scratch of the blocked way, shared by all calls: nothing of it outlives one. */
let packedA = new Float64Array(0)
let packedB = new Float64Array(0)
let sums = new Float64Array(0)

/** One matrix product's fixed numbers; row and column strides of a, b and c. */
interface Plan {
  m: number
  n: number
  k: number
  ai: number
  ap: number
  bp: number
  bj: number
  ci: number
  cj: number
  beta: number
}

type Product = (plan: Plan, alpha: number, c: Floats, co: number, a: Floats, ao: number, b: Floats, bo: number) => void

/** c dense along j. */
const tiny: Product = ({ m, n, k, ai, ap, bp, bj, beta }, alpha, c, co, a, ao, b, bo) => {
  let z = co
  for (let i = 0, x0 = ao; i < m; i++, x0 += ai) {
    for (let j = 0, y0 = bo; j < n; j++, y0 += bj, z++) {
      let sum = 0
      for (let p = 0, x = x0, y = y0; p < k; p++, x += ap, y += bp) sum += (a[x] as number) * (b[y] as number)
      c[z] = beta === 0 ? alpha * sum : alpha * sum + beta * (c[z] as number)
    }
  }
}

/** k = 1, c dense along j. */
const outer: Product = ({ m, n, ai, bj, ci, beta }, alpha, c, co, a, ao, b, bo) => {
  for (let i = 0; i < m; i++) {
    const x = alpha * (a[ao + i * ai] as number)
    const z = co + i * ci
    if (beta === 0) outerRow(n, x, c, z, b, bo, bj)
    else outerAdd(n, x, beta, c, z, b, bo, bj)
  }
}

function outerRow(n: number, x: number, c: Floats, z: number, b: Floats, bo: number, bj: number): void {
  for (let j = 0, y = bo; j < n; j++, y += bj) c[z + j] = x * (b[y] as number)
}

function outerAdd(n: number, x: number, beta: number, c: Floats, z: number, b: Floats, bo: number, bj: number): void {
  for (let j = 0, y = bo; j < n; j++, y += bj) c[z + j] = x * (b[y] as number) + beta * (c[z + j] as number)
}

/** Few rows: each row of a, packed, times b: four columns of b at a time where they lie along p, else four rows. */
const thin: Product = ({ m, n, k, ai, ap, bp, bj, ci, cj, beta }, alpha, c, co, a, ao, b, bo) => {
  if (packedA.length < k) packedA = new Float64Array(k)
  if (sums.length < n + 4) sums = new Float64Array(n + 4)
  for (let i = 0; i < m; i++) {
    gatherRow(k, packedA, a, ao + i * ai, ap)
    if (bp === 1) rowTimesColumns(n, k, sums, packedA, b, bo, bj)
    else rowTimesRows(n, k, sums, packedA, b, bo, bp, bj)
    storeRow(n, alpha, beta, c, co + i * ci, cj, sums, 0)
  }
}

function gatherRow(k: number, to: Float64Array, a: Floats, x: number, ap: number): void {
  for (let p = 0; p < k; p++, x += ap) to[p] = a[x] as number
}

/** sums[j] = Σ row[p] · b[p, j], b's columns dense. */
function rowTimesColumns(n: number, k: number, to: Float64Array, row: Float64Array, b: Floats, bo: number, bj: number): void {
  let j = 0
  for (; j + 3 < n; j += 4) {
    const y0 = bo + j * bj
    const y1 = y0 + bj
    const y2 = y1 + bj
    const y3 = y2 + bj
    let s0 = 0
    let s1 = 0
    let s2 = 0
    let s3 = 0
    for (let p = 0; p < k; p++) {
      const x = row[p] as number
      s0 += x * (b[y0 + p] as number)
      s1 += x * (b[y1 + p] as number)
      s2 += x * (b[y2 + p] as number)
      s3 += x * (b[y3 + p] as number)
    }
    to[j] = s0
    to[j + 1] = s1
    to[j + 2] = s2
    to[j + 3] = s3
  }
  for (; j < n; j++) {
    const y = bo + j * bj
    let s = 0
    for (let p = 0; p < k; p++) s += (row[p] as number) * (b[y + p] as number)
    to[j] = s
  }
}

/** sums[j] = Σ row[p] · b[p, j], b's rows dense (or not: bj). */
function rowTimesRows(n: number, k: number, to: Float64Array, row: Float64Array, b: Floats, bo: number, bp: number, bj: number): void {
  for (let j = 0; j < n; j++) to[j] = 0
  let p = 0
  for (; p + 3 < k; p += 4) {
    const x0 = row[p] as number
    const x1 = row[p + 1] as number
    const x2 = row[p + 2] as number
    const x3 = row[p + 3] as number
    let y0 = bo + p * bp
    let y1 = y0 + bp
    let y2 = y1 + bp
    let y3 = y2 + bp
    for (let j = 0; j < n; j++) {
      to[j] = (to[j] as number) + x0 * (b[y0] as number) + x1 * (b[y1] as number) + x2 * (b[y2] as number) + x3 * (b[y3] as number)
      y0 += bj
      y1 += bj
      y2 += bj
      y3 += bj
    }
  }
  for (; p < k; p++) {
    const x = row[p] as number
    let y = bo + p * bp
    for (let j = 0; j < n; j++, y += bj) to[j] = (to[j] as number) + x * (b[y] as number)
  }
}

function storeRow(n: number, alpha: number, beta: number, c: Floats, z: number, cj: number, from: Float64Array, at: number): void {
  if (beta === 0) for (let j = 0; j < n; j++, z += cj) c[z] = alpha * (from[at + j] as number)
  else for (let j = 0; j < n; j++, z += cj) c[z] = alpha * (from[at + j] as number) + beta * (c[z] as number)
}

const blocked: Product = ({ m, n, k, ai, ap, bp, bj, ci, cj, beta }, alpha, c, co, a, ao, b, bo) => {
  const width = Math.min(n + (n & 1), Math.max(2, 2 * Math.floor(thresholds.panel / (2 * k))))
  if (packedA.length < 4 * k) packedA = new Float64Array(4 * k)
  if (packedB.length < width * k) packedB = new Float64Array(width * k)
  if (sums.length < 4 * width) sums = new Float64Array(4 * width)
  for (let j0 = 0; j0 < n; j0 += width) {
    const columns = Math.min(width, n - j0)
    const padded = columns + (columns & 1)
    for (let j = 0; j < columns; j += 2) packTwo(k, packedB, j * k, b, bo + (j0 + j) * bj, bp, j + 1 < columns ? bj : 0)
    for (let i = 0; i < m; i += 4) {
      const rows = Math.min(4, m - i)
      // a block of fewer rows repeats its first: finite or not, what it gives is not stored
      const x = ao + i * ai
      packFour(k, packedA, a, x, rows > 1 ? x + ai : x, rows > 2 ? x + 2 * ai : x, rows > 3 ? x + 3 * ai : x, ap)
      for (let j = 0; j < columns; j += 2) fourByTwo(k, packedA, packedB, j * k, sums, j, padded)
      for (let r = 0; r < rows; r++) storeRow(columns, alpha, beta, c, co + (i + r) * ci + j0 * cj, cj, sums, r * padded)
    }
  }
}

function packTwo(k: number, to: Float64Array, at: number, b: Floats, y: number, bp: number, bj: number): void {
  for (let p = 0; p < k; p++, at += 2, y += bp) {
    to[at] = b[y] as number
    to[at + 1] = b[y + bj] as number
  }
}

function packFour(k: number, to: Float64Array, a: Floats, x0: number, x1: number, x2: number, x3: number, ap: number): void {
  for (let p = 0, at = 0, x = 0; p < k; p++, at += 4, x += ap) {
    to[at] = a[x0 + x] as number
    to[at + 1] = a[x1 + x] as number
    to[at + 2] = a[x2 + x] as number
    to[at + 3] = a[x3 + x] as number
  }
}

/** Four rows of sums, `row` apart, from `at`: the packed panel of a times two packed columns of b. */
function fourByTwo(k: number, a: Float64Array, b: Float64Array, q: number, to: Float64Array, at: number, row: number): void {
  let s00 = 0
  let s01 = 0
  let s10 = 0
  let s11 = 0
  let s20 = 0
  let s21 = 0
  let s30 = 0
  let s31 = 0
  for (let i = 0, p = 0; i < k; i++, p += 4, q += 2) {
    const b0 = b[q] as number
    const b1 = b[q + 1] as number
    const a0 = a[p] as number
    const a1 = a[p + 1] as number
    const a2 = a[p + 2] as number
    const a3 = a[p + 3] as number
    s00 += a0 * b0
    s01 += a0 * b1
    s10 += a1 * b0
    s11 += a1 * b1
    s20 += a2 * b0
    s21 += a2 * b1
    s30 += a3 * b0
    s31 += a3 * b1
  }
  to[at] = s00
  to[at + 1] = s01
  to[at + row] = s10
  to[at + row + 1] = s11
  to[at + 2 * row] = s20
  to[at + 2 * row + 1] = s21
  to[at + 3 * row] = s30
  to[at + 3 * row + 1] = s31
}

/** The same product with rows and columns exchanged: cᵗ = op(b)ᵗ op(a)ᵗ. */
function exchanged(plan: Plan): Plan {
  return { ...plan, m: plan.n, n: plan.m, ai: plan.bj, ap: plan.bp, bp: plan.ap, bj: plan.ai, ci: plan.cj, cj: plan.ci }
}

/** `swap`: the product takes b before a. */
function choose(plan: Plan): { plan: Plan; product: Product; swap: boolean } {
  const { m, n, k } = plan
  if (k === 1 && m * n > 8) return { plan, product: outer, swap: false }
  if (m * n * k <= thresholds.smallProduct) return { plan, product: tiny, swap: false }
  if (m < 4 && m <= n) return { plan, product: thin, swap: false }
  if (n < 4) return { plan: exchanged(plan), product: thin, swap: true }
  return { plan, product: blocked, swap: false }
}

export const matmul: Prepare = (call, outputs, inputs) => {
  const [batch, m, n, k, transA, transB, strideA, strideB] = integers(call, 8) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const [alphaFixed, beta] = scalarsOf(call, 2) as [number, number]
  checkCounts(call, outputs, inputs, 1, inputs.length === 3 ? 3 : 2)
  for (const value of call.ints) if (value < 0) throw malformed('matmul', 'integers of 0 or more', value)
  if (transA > 1 || transB > 1) throw malformed('matmul', 'transA and transB of 0 or 1', `${transA} and ${transB}`)
  const dtype = checkOperand(call, 'c', outputs[0], 'float', volume(call, batch, m, n))
  checkOperand(call, 'a', inputs[0], dtype, extent(batch, strideA, volume(call, m, k), 'a', inputs[0] as Operand))
  checkOperand(call, 'b', inputs[1], dtype, extent(batch, strideB, volume(call, k, n), 'b', inputs[1] as Operand))
  if (inputs.length === 3) checkOperand(call, 's', inputs[2], dtype, 1)
  const empty = volume(call, batch, m, n) === 0
  const { plan, product, swap } = choose({
    m,
    n,
    k,
    ai: transA ? 1 : k,
    ap: transA ? m : 1,
    bp: transB ? 1 : n,
    bj: transB ? k : 1,
    ci: n,
    cj: 1,
    beta,
  })
  return {
    bind: (outs, ins) => {
      const c = outs[0] as Ref
      const [a, b, s] = ins as [Ref, Ref, Ref | undefined]
      const matrix = m * n
      return () => {
        if (empty) return
        const alpha = s ? alphaFixed * (s.array[s.offset] as number) : alphaFixed
        for (let i = 0; i < batch; i++) {
          const co = c.offset + i * matrix
          const ao = a.offset + i * strideA
          const bo = b.offset + i * strideB
          if (swap) product(plan, alpha, c.array as Floats, co, b.array as Floats, bo, a.array as Floats, ao)
          else product(plan, alpha, c.array as Floats, co, a.array as Floats, ao, b.array as Floats, bo)
        }
      }
    },
  }
}

/** The elements that `batch` matrices of `size` at `stride` take; any number where none is read. */
function extent(batch: number, stride: number, size: number, name: string, operand: Operand): number {
  if (size === 0) return 0
  if (batch === 0) return operand.length
  const length = (batch - 1) * stride + size
  if (!Number.isSafeInteger(length)) throw malformed('matmul', `an exact length of ${name}`, `${batch} matrices at ${stride}`)
  return length
}
