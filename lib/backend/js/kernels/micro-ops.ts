/**
 * The micro-operations of the elementwise kernel: each a loop over n contiguous elements, y[i] = f(a[i], b[i], c[i]). Stores
 * round to the type of `y`, so that every operation of a float32 program rounds once, as in the native engine.
 *
 * The cheap and the frequent ones are written out, so that V8 compiles each to a loop of its own; where the function
 * itself takes tens of nanoseconds, `each` calls it through a closure.
 */

import type { ElementwiseOp } from '../../program.js'
import type { Floats } from './kernel.js'
import { erf, mod, pow, powInt32, roundHalfEven, softplus, toInt32 } from './special.js'

/** n elements: y from yo, a from ao, b from bo, c from co. `y` may be any of the operands, at the same offset. */
export type Loop = (n: number, y: Floats, yo: number, a: Floats, ao: number, b: Floats, bo: number, c: Floats, co: number) => void

/** The calls of operations that read fewer operands. */
export type Loop1 = (n: number, y: Floats, yo: number, a: Floats, ao: number) => void
export type Loop2 = (n: number, y: Floats, yo: number, a: Floats, ao: number, b: Floats, bo: number) => void

const each =
  (f: (x: number) => number): Loop =>
  (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = f(a[ao + i] as number)
  }

const each2 =
  (f: (x: number, y: number) => number): Loop =>
  (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = f(a[ao + i] as number, b[bo + i] as number)
  }

export const loops: Readonly<Record<ElementwiseOp, Loop>> = {
  copy: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = a[ao + i] as number
  },
  neg: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = -(a[ao + i] as number)
  },
  abs: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = Math.abs(a[ao + i] as number)
  },
  sign: each(Math.sign),
  floor: each(Math.floor),
  ceil: each(Math.ceil),
  round: each(roundHalfEven),
  square: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) {
      const x = a[ao + i] as number
      y[yo + i] = x * x
    }
  },
  sqrt: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = Math.sqrt(a[ao + i] as number)
  },
  rsqrt: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = 1 / Math.sqrt(a[ao + i] as number)
  },
  reciprocal: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = 1 / (a[ao + i] as number)
  },
  exp: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = Math.exp(a[ao + i] as number)
  },
  expm1: each(Math.expm1),
  log: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = Math.log(a[ao + i] as number)
  },
  log1p: each(Math.log1p),
  sin: each(Math.sin),
  cos: each(Math.cos),
  tan: each(Math.tan),
  asin: each(Math.asin),
  acos: each(Math.acos),
  atan: each(Math.atan),
  sinh: each(Math.sinh),
  cosh: each(Math.cosh),
  tanh: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = Math.tanh(a[ao + i] as number)
  },
  asinh: each(Math.asinh),
  acosh: each((x) => (x < 1 ? Number.NaN : Math.acosh(x))), // musl's, which Bun takes, has values below −2²⁵
  atanh: each(Math.atanh),
  erf: each(erf),
  // exp overflows to infinity for x < −709, and 1/infinity is the 0 that is wanted
  sigmoid: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = 1 / (1 + Math.exp(-(a[ao + i] as number)))
  },
  logSigmoid: each((x) => -softplus(-x)),
  softplus: each(softplus),
  relu: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = Math.max(a[ao + i] as number, 0)
  },
  logicalNot: (n, y, yo, a, ao) => {
    for (let i = 0; i < n; i++) y[yo + i] = a[ao + i] === 0 ? 1 : 0
  },
  isFinite: each((x) => (Number.isFinite(x) ? 1 : 0)),
  toBool: each((x) => (x !== 0 ? 1 : 0)),
  toInt32: each(toInt32),
  wrapInt32: each((x) => x | 0),

  add: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) + (b[bo + i] as number)
  },
  sub: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) - (b[bo + i] as number)
  },
  mul: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) * (b[bo + i] as number)
  },
  div: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) / (b[bo + i] as number)
  },
  pow: each2(pow),
  atan2: each2(Math.atan2),
  mod: each2(mod),
  maximum: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = Math.max(a[ao + i] as number, b[bo + i] as number)
  },
  minimum: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = Math.min(a[ao + i] as number, b[bo + i] as number)
  },
  equal: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = a[ao + i] === b[bo + i] ? 1 : 0
  },
  notEqual: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = a[ao + i] !== b[bo + i] ? 1 : 0
  },
  less: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) < (b[bo + i] as number) ? 1 : 0
  },
  lessEqual: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) <= (b[bo + i] as number) ? 1 : 0
  },
  greater: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) > (b[bo + i] as number) ? 1 : 0
  },
  greaterEqual: (n, y, yo, a, ao, b, bo) => {
    for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) >= (b[bo + i] as number) ? 1 : 0
  },
  logicalAnd: each2((x, z) => (x !== 0 && z !== 0 ? 1 : 0)),
  logicalOr: each2((x, z) => (x !== 0 || z !== 0 ? 1 : 0)),
  mulInt32: each2((x, z) => Math.imul(toInt32(x), toInt32(z))),
  powInt32: each2(powInt32),

  where: (n, y, yo, a, ao, b, bo, c, co) => {
    for (let i = 0; i < n; i++) y[yo + i] = a[ao + i] !== 0 ? (b[bo + i] as number) : (c[co + i] as number)
  },
}
