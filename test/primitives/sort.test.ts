/** Sorting: order, ties, NaN, axes, gradients, largest k; both engines. */

import { describe, expect, test } from 'vitest'
import { grad, jacobian } from '../../lib/index.js'
import '../../lib/primitives/methods.js'
import { argsort, sort, topk } from '../../lib/primitives/sort.js'
import { tensor } from '../../lib/tensor/creation.js'
import { Random } from '../../lib/tensor/random.js'
import { announce, present, using } from '../support/engines.js'

announce('sort')

describe.each(present)('on %s', (engine) => {
  const on = <T>(body: () => T) => using(engine, body)

  test('growing, falling, with ties in their order and NaN as the largest', () =>
    on(() => {
      const x = tensor([3, 1, 2, 1, NaN, 3])
      expect(argsort(x).toArray()).toEqual([1, 3, 2, 0, 5, 4])
      expect(argsort(x, 0, { descending: true }).toArray()).toEqual([4, 0, 5, 2, 1, 3])
      expect(sort(x).toArray()).toEqual([1, 1, 2, 3, 3, NaN])
      expect(tensor([0, -0, 0]).argsort().toArray()).toEqual([0, 1, 2])
      expect(tensor([true, false, true], { dtype: 'bool' }).argsort().toArray()).toEqual([1, 0, 2])
      expect(sort(tensor(Int32Array.of(5, -7, 2147483647))).toArray()).toEqual([-7, 5, 2147483647])
    }))

  test('along any axis', () =>
    on(() => {
      const x = tensor([
        [3, 1],
        [2, 5],
        [1, 4],
      ])
      expect(sort(x, 0).toArray()).toEqual([
        [1, 1],
        [2, 4],
        [3, 5],
      ])
      expect(argsort(x, 0, { descending: true }).toArray()).toEqual([
        [0, 1],
        [1, 2],
        [2, 0],
      ])
      expect(sort(x.reshape([3, 1, 2]), 0).toArray()).toEqual([[[1, 1]], [[2, 4]], [[3, 5]]])
    }))

  test('as JavaScript sorts, on random values with many ties', () =>
    on(() => {
      for (const n of [0, 1, 2, 17, 1000]) {
        const x = new Random(n).uniform([n], 0, 40).floor()
        const values = Array.from(x.data)
        const places = values.map((_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number))
        expect(Array.from(argsort(x).data)).toEqual(places)
        const falling = values.map((_, i) => i).sort((a, b) => (values[b] as number) - (values[a] as number))
        expect(Array.from(argsort(x, 0, { descending: true }).data)).toEqual(falling)
      }
    }))

  test('the largest and the smallest k', () =>
    on(() => {
      const x = tensor([
        [1, 4, 2, 4],
        [9, 8, 7, 6],
      ])
      const [values, indices] = topk(x, 2)
      expect(values.toArray()).toEqual([
        [4, 4],
        [9, 8],
      ])
      expect(indices.toArray()).toEqual([
        [1, 3],
        [0, 1],
      ])
      expect(topk(x, 1, { axis: 0, largest: false })[0].toArray()).toEqual([[1, 4, 2, 4]])
      expect(x.topk(0)[0].shape).toEqual([2, 0])
    }))

  test('gradients go to where the elements came from, second ones too', () =>
    on(() => {
      const x = tensor([3, 1, 2], { dtype: 'float64' })
      const w = tensor([10, 20, 30], { dtype: 'float64' })
      const f = (t: typeof x) => sort(t).mul(w).sum()
      expect((grad(f)(x) as typeof x).toArray()).toEqual([30, 10, 20])
      const squares = (t: typeof x) => topk(t.square(), 2)[0].sum()
      expect((grad(squares)(x) as typeof x).toArray()).toEqual([6, 0, 4])
      expect((jacobian(grad(squares) as (t: typeof x) => typeof x)(x) as typeof x).toArray()).toEqual([
        [2, 0, 0],
        [0, 0, 0],
        [0, 0, 2],
      ])
    }))
})

test('misuse', () => {
  const x = tensor([1, 2, 3])
  expect(() => topk(x, 4)).toThrow('expected k to be an integer between 0 and 3')
  expect(() => topk(x, 1.5)).toThrow('integer')
  expect(() => sort(tensor(1))).toThrow('a scalar')
  expect(() => sort(x, 1)).toThrow()
  expect(() => sort(x, 0, { descending: 1 as never })).toThrow('true or false')
  expect(() => argsort(x, 0, { decending: true } as never)).toThrow("did you mean 'descending'?")
})
