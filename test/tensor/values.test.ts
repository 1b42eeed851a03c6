/** Tensors as values: compared, written as JSON, cloned, and read with useful types. */

import assert from 'node:assert'
import { describe, expect, test } from 'vitest'
import { nn, Tensor, tensor, zeros } from '../../lib/index.js'
import { Abstract } from '../../lib/primitives/primitive.js'
import { codeOf } from '../backend/engines.js'

describe('equality', () => {
  const differing: [string, Tensor, Tensor][] = [
    ['values', tensor([1, 2]), tensor([1, 3])],
    ['shapes', tensor([1, 2]), tensor([[1, 2]])],
    ['types', tensor([1, 2]), tensor([1, 2], { dtype: 'float64' })],
    ['parameters', new nn.Parameter(tensor([1, 2])), new nn.Parameter(tensor([1, 3]))],
  ]
  test.each(differing)('%s that differ are seen', (_, a, b) => {
    expect(() => expect(a).toEqual(b)).toThrow()
    expect(() => expect(a).toStrictEqual(b)).toThrow()
    expect(() => assert.deepStrictEqual(a, b)).toThrow()
    expect(() => assert.deepEqual({ nested: [a] }, { nested: [b] })).toThrow()
    expect(a).toEqual(Object.assign(a))
  })

  test('equal tensors and modules are equal', () => {
    expect(tensor([[1, NaN]])).toEqual(tensor([[1, NaN]]))
    assert.deepStrictEqual(tensor([[1, NaN]]), tensor([[1, NaN]]))
    const layer = (w: number) => new nn.Linear(1, 1, { bias: false, init: () => tensor([[w]]) })
    expect(layer(1)).toEqual(layer(1))
    expect(() => expect(layer(1)).toEqual(layer(2))).toThrow()
    const assigned = layer(1)
    assigned.weight.assign(tensor([[2]]))
    expect(assigned).toEqual(layer(2))
  })
})

describe('copies', () => {
  test('JSON holds the values', () => {
    expect(JSON.stringify({ p: tensor([[1, 2.5]]), n: tensor(3), yes: tensor([true, false]) })).toBe(
      '{"p":[[1,2.5]],"n":3,"yes":[true,false]}',
    )
    expect(JSON.parse(JSON.stringify(new nn.Parameter(tensor([1, 2]))))).toEqual([1, 2])
  })

  test('a structured clone becomes a tensor again', () => {
    for (const t of [tensor([[1, 2]], { dtype: 'float64' }), tensor(3), tensor([true]), zeros([0, 3]), new nn.Parameter(tensor([1, 2]))]) {
      const back = Tensor.from(structuredClone(t) as never)
      expect(back).toBeInstanceOf(Tensor)
      expect([back.shape, back.dtype, back.toArray()]).toEqual([t.shape, t.dtype, t.toArray()])
    }
    const t = tensor([1, 2])
    const copy = Tensor.from(t)
    copy.data[0] = 9
    expect(t.toArray()).toEqual([1, 2])
    expect(Tensor.from([1, 2], { dtype: 'int32' }).dtype).toBe('int32')
    const model = new nn.Linear(2, 1)
    expect(model.predict(structuredClone(tensor([[1, 2]])) as never)).toEqual(model.predict([[1, 2]]))
    const clone = structuredClone(t) as unknown as { shape: number[]; dtype: string }
    expect(codeOf(() => Tensor.from({ ...clone, shape: [3] } as never))).toBe('ERR_SHAPE')
    expect(codeOf(() => Tensor.from({ ...clone, dtype: 'text' } as never))).toBe('ERR_DTYPE')
    expect(codeOf(() => Tensor.from({ shape: [2], dtype: 'float32', values: undefined } as never))).toBe('ERR_VALUE')
    expect(codeOf(() => JSON.stringify(new Abstract([2], 'float32')))).toBe('ERR_VALUE_NEEDED')
  })
})

test('values have types that need no casts', () => {
  const t = tensor([
    [1, 2],
    [3, 4],
  ])
  const rows: number[][] = t.toArray()
  const flags: boolean[] = tensor([true, false]).toArray()
  const [first] = t.toArray()
  const total: number = t.data.reduce((a, b) => a + b, 0)
  const doubled: number[] = Array.from(t.data.map((x) => 2 * x))
  const largest: number = Math.max(...t.reshape([4]).toArray())
  const scalar: number = tensor(5).toArray()
  const nested = t.toArray().map((row) => row.map((x) => x + 1))
  expect([rows[1]?.[0], flags[0], first, total, doubled, largest, scalar, nested]).toEqual([
    3,
    true,
    [1, 2],
    10,
    [2, 4, 6, 8],
    4,
    5,
    [
      [2, 3],
      [4, 5],
    ],
  ])
})
