/** Losses of padded sequences: a mask says which steps count, and means are over those (PyTorch: each element's loss times the mask, over its sum). */

import { describe, expect, test } from 'vitest'
import { checkGradients, compile, grad, loss, type Tensor, tensor } from '../../lib/index.js'
import type { NamedLoss } from '../../lib/nn/loss.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { farthest } from '../support/tolerance.js'

type Kind = 'bool' | 'factors' | 'none'
type Found = { value: Numbers; gradient: Numbers }
interface Case {
  loss: string
  options: Record<string, unknown>
  mask: Kind
  labels: boolean
  prediction: Numbers
  target: Numbers
  none: Found
  sum: Found
  mean: Found
}

announce('masked losses')
const { shape, masks, cases } = golden<{ shape: number[]; masks: Record<Kind, Numbers>; cases: Case[] }>('masked-losses')
const losses = loss as unknown as Record<string, NamedLoss<Record<string, unknown>>>
const steps = shape.slice(0, 2)

const maskOf = (kind: Kind, dtype: 'float32' | 'float64'): Tensor =>
  kind === 'factors'
    ? tensor(numbers(masks.factors), { shape: steps, dtype })
    : tensor(Uint8Array.from(numbers(masks[kind])), { shape: steps, dtype: 'bool' })

/** Prediction, target and mask; behind the mask the target is nothing that may be one. */
function operandsOf(c: Case, dtype: 'float32' | 'float64'): [Tensor, Tensor, Tensor] {
  const mask = maskOf(c.mask, dtype)
  const q = tensor(numbers(c.prediction), { shape, dtype })
  const y = c.labels ? tensor(Int32Array.from(numbers(c.target)), { shape: steps }) : tensor(numbers(c.target), { shape, dtype })
  for (let i = 0; i < y.size; i++) if (!mask.data[Math.floor((i * mask.size) / y.size)]) y.data[i] = c.labels ? 77 : Number.NaN
  return [q, y, mask]
}

describe.each(present)('%s engine', (engine) => {
  test.each(cases.map((c) => [`${c.loss} ${JSON.stringify(c.options)}, ${c.mask}`, c] as const))('%s', (_name, c) => {
    const found: string[] = []
    using(engine, () => {
      for (const dtype of ['float32', 'float64'] as const) {
        const [q, y, mask] = operandsOf(c, dtype)
        const slack = dtype === 'float32' ? 3e-6 : 1e-12
        for (const reduction of ['none', 'sum', 'mean'] as const) {
          const of = (x: Tensor) => (losses[c.loss] as NamedLoss<Record<string, unknown>>)(x, y, { ...c.options, mask, reduction })
          const check = (what: string, got: Tensor, expected: Numbers) => {
            const far = farthest(got.data, numbers(expected), slack)
            if (far) found.push(`${dtype} ${reduction} ${what} ${far}`)
          }
          check('value', of(q), c[reduction].value)
          check('gradient', grad((x: Tensor) => of(x).sum())(q) as Tensor, c[reduction].gradient)
          check('compiled', compile(of)(q) as Tensor, c[reduction].value)
          check('compiled gradient', compile(grad((x: Tensor) => of(x).sum()))(q) as Tensor, c[reduction].gradient)
        }
        if (dtype === 'float64' && c.mask === 'factors')
          checkGradients((x: Tensor) => (losses[c.loss] as NamedLoss<Record<string, unknown>>)(x, y, { ...c.options, mask }), [q])
      }
    })
    expect(found).toEqual([])
  })

  test('a mask of samples, one of elements, and weights of samples beside it', () => {
    using(engine, () => {
      const q = tensor([
        [1, 2],
        [3, 5],
        [8, 4],
      ])
      const y = tensor([
        [0, 0],
        [0, 0],
        [0, 0],
      ])
      expect(loss.mse(q, y, { mask: [true, false, true] }).item()).toBeCloseTo((1 + 4 + 64 + 16) / 4, 5)
      expect(
        loss
          .mse(q, y, {
            mask: [
              [true, false],
              [false, true],
              [true, true],
            ],
          })
          .item(),
      ).toBeCloseTo((1 + 25 + 64 + 16) / 4, 5)
      const both = loss
        .mse(q, y, {
          mask: [
            [1, 0],
            [0, 1],
            [1, 1],
          ],
          sampleWeight: [3, 1, 2],
        })
        .item()
      expect(both).toBeCloseTo((3 * 1 + 25 + 2 * 64 + 2 * 16) / (3 + 1 + 2 + 2), 4)
      expect(loss.squaredError(q, y, { mask: [true, true, true] }).item()).toBeCloseTo(loss.squaredError(q, y).item(), 6)
    })
  })

  test('refused: a mask of another shape', () => {
    using(engine, () => {
      const q = tensor([
        [1, 2],
        [3, 5],
      ])
      expect(codeOf(() => loss.mse(q, q, { mask: [true, false, true] }))).toBe('ERR_SHAPE')
      expect(codeOf(() => loss.crossEntropy(q, [0, 1], { mask: [[true, false]] }))).toBe('ERR_SHAPE')
      const z = tensor([
        [
          [1, 2],
          [3, 5],
        ],
      ])
      expect(codeOf(() => loss.nll(z, tensor([[0, 1]], { dtype: 'int32' }), { mask: [true, false] }))).toBe('ERR_SHAPE')
    })
  })
})

test('every loss has masked golden values', () => {
  const named = Object.keys(losses).filter((name) => name !== 'entropy')
  expect(named.sort()).toEqual([...new Set(cases.map((c) => c.loss))].sort())
})
