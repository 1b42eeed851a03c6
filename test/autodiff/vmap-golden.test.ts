/** JAX's documented examples of vmap and of gradients of each sample, against PyTorch's loops (scripts/golden/vmap.py). */

import { expect, test } from 'vitest'
import { conv2d, grad, hessian, stack, type Tensor, tensor, vmap } from '../../lib/index.js'
import { sizeOf } from '../../lib/util/shape.js'
import { announce, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { farthest, tolerances } from '../support/tolerance.js'

interface Expected {
  mm: Numbers
  perSample: Numbers[]
  hessians: Numbers
  ensemble: Numbers[]
  conv: Numbers
}
const expected = golden<Expected>('vmap')
announce('the examples of vmap')

const pattern = (shape: number[], factor: number, modulus: number, scale: number): Tensor =>
  tensor(
    Float64Array.from({ length: sizeOf(shape) }, (_, i) => (((i * factor) % modulus) - Math.floor(modulus / 2)) / scale),
    { shape },
  )
const same = (y: Tensor, values: Numbers) => expect(farthest(y.data, numbers(values), tolerances.float64.peer)).toBe('')

type Weights = [Tensor, Tensor, Tensor, Tensor]
const weights = [[4, 3], [4], [2, 4], [2]].map((shape) => pattern(shape, 37, 53, 32)) as Weights
const [x, y] = [pattern([5, 3], 11, 17, 8), pattern([5, 2], 7, 13, 4)]
const cost = ([w, b, v, c]: Weights, s: Tensor, t: Tensor): Tensor =>
  v.matmul(w.matmul(s).add(b).tanh()).add(c).sub(t).square().sum().mul(0.5)

for (const engine of present) {
  const run = (name: string, body: () => void) => test(`${name}, on ${engine}`, () => using(engine, body))

  run('products of matrices from products of vectors', () => {
    const mv = vmap((p: Tensor, q: Tensor) => p.mul(q).sum(), { inAxes: [0, null] })
    const mm = vmap(mv, { inAxes: [null, 1], outAxes: 1 })
    same(mm(pattern([3, 4], 5, 11, 4), pattern([4, 2], 7, 13, 4)), expected.mm)
  })

  run('the gradient of each sample', () => {
    const found = vmap(grad(cost), { inAxes: [null, 0, 0] })(weights, x, y)
    found.forEach((g, k) => {
      same(g, expected.perSample[k] as Numbers)
    })
  })

  run('the Hessian of each sample', () => {
    same(vmap((s: Tensor, t: Tensor) => hessian((v: Tensor) => cost(weights, v, t))(s))(x, y), expected.hessians)
  })

  run('an ensemble', () => {
    const members = weights.map((w) => stack([0, 1, 2].map((k) => w.mul(1 + 0.5 * k)))) as Weights
    const mean = (p: Weights) => vmap(cost, { inAxes: [null, 0, 0] })(p, x, y).mean()
    vmap(grad(mean))(members).forEach((g, k) => {
      same(g, expected.ensemble[k] as Numbers)
    })
  })

  run('the gradient of each image by the weight of a convolution', () => {
    const [images, kernel] = [pattern([4, 2, 5, 5], 11, 17, 8), pattern([3, 2, 3, 3], 7, 19, 8)]
    const f = (w: Tensor, image: Tensor) => conv2d(image, w, { stride: 2, padding: 1 }).tanh().sum()
    same(vmap(grad(f), { inAxes: [null, 0] })(kernel, images), expected.conv)
  })
}
