/** Golden vectors of the generator: Philox as in Random123's known answers, bounded integers and permutations as committed here. */

import { describe, expect, test } from 'vitest'
import { permutation, philox, purposes, Stream, type StreamKey } from '../../lib/util/random.js'
import { codeOf, engines } from '../backend/engines.js'

/** Random123 1.14, kat_vectors, "philox4x32 10". */
const known: [counter: number[], key: number[], words: number[]][] = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
]

test('philox gives the known answers', () => {
  for (const [counter, key, words] of known) {
    const out = new Uint32Array(4)
    philox(out, ...(counter as [number, number, number, number]), ...(key as [number, number]))
    expect(Array.from(out)).toEqual(words)
  }
})

test('a stream reads the words of its counter in order', () => {
  const key = { seed: 2 ** 40 + 3, purpose: purposes.dropout, a: 5, b: 6 }
  const stream = new Stream(key)
  const words = Array.from({ length: 9 }, () => stream.word())
  const block = new Uint32Array(4)
  philox(block, 1, 5, 6, purposes.dropout, 3, 256)
  expect(words.slice(4, 8)).toEqual(Array.from(block))
  philox(block, 2, 5, 6, purposes.dropout, 3, 256)
  expect(words[8]).toBe(block[0])
})

test('bounded integers lie in range, and each is as frequent as the others', () => {
  const stream = new Stream({ seed: 1, purpose: 0, a: 0, b: 0 })
  for (const n of [1, 2, 3, 1000, 4294967295]) {
    for (let i = 0; i < 100; i++) {
      const value = stream.bounded(n)
      expect(value >= 0 && value < n && Number.isInteger(value)).toBe(true)
    }
  }
  const counts = new Array<number>(6).fill(0)
  const draws = 60000
  for (let i = 0; i < draws; i++) {
    const face = stream.bounded(6)
    counts[face] = (counts[face] as number) + 1
  }
  // five standard deviations of a binomial with p = 1/6
  for (const count of counts) expect(Math.abs(count - draws / 6)).toBeLessThan(5 * Math.sqrt((draws * 5) / 36))
})

test('uniforms and normals have the moments they should', () => {
  const stream = new Stream({ seed: 3, purpose: 0, a: 0, b: 0 })
  const n = 20000
  const uniforms = Array.from({ length: n }, () => stream.uniform())
  const normals = Array.from({ length: n }, () => stream.normal())
  const mean = (x: number[]) => x.reduce((a, b) => a + b, 0) / x.length
  const variance = (x: number[]) => mean(x.map((v) => v * v)) - mean(x) ** 2
  expect(Math.min(...uniforms)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...uniforms)).toBeLessThan(1)
  expect(Math.abs(mean(uniforms) - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n))
  expect(Math.abs(mean(normals))).toBeLessThan(5 / Math.sqrt(n))
  expect(Math.abs(variance(normals) - 1)).toBeLessThan(5 * Math.sqrt(2 / n))
})

// The integers below were made by a second implementation, in Python's arbitrary-precision integers, from the text of lib/util/random.ts.

test('bounded integers are the committed ones, rejections included', () => {
  const stream = new Stream({ seed: 42, purpose: purposes.user, a: 0, b: 0 })
  expect(Array.from({ length: 10 }, () => stream.bounded(1000))).toEqual([612, 468, 73, 340, 987, 327, 513, 454, 825, 658])
  const rejecting = new Stream({ seed: 6, purpose: purposes.user, a: 1, b: 2 })
  expect(Array.from({ length: 12 }, () => rejecting.bounded(3000000000))).toEqual([
    1266462289, 1035808529, 26262082, 543812798, 455580417, 1483003875, 262245103, 1512918704, 2210307385, 1926115043, 726328981,
    2443727307,
  ])
})

for (const { name, backend, reason } of engines) {
  const skipped = backend ? '' : ` (skipped: ${reason?.split('\n')[0]})`
  describe.skipIf(!backend)(`permutations: ${name}${skipped}`, () => {
    const drawn = (length: number, key: StreamKey) => {
      const out = new Int32Array(length)
      backend?.permutations(out, length, key)
      return Array.from(out)
    }

    test('are the committed ones', () => {
      expect(drawn(20, { seed: 42, purpose: purposes.order, a: 3, b: 0 })).toEqual([
        19, 15, 12, 7, 8, 16, 13, 9, 5, 18, 1, 10, 6, 17, 3, 4, 2, 11, 0, 14,
      ])
      expect(drawn(8, { seed: 2 ** 52 + 12345, purpose: purposes.split, a: 1, b: 2 })).toEqual([5, 4, 0, 7, 2, 3, 1, 6])
      expect(drawn(1, { seed: 0, purpose: 0, a: 0, b: 0 })).toEqual([0])
    })

    test('hold each index once, and differ by every part of the key', () => {
      const key = { seed: 9, purpose: purposes.order, a: 1, b: 1 }
      const whole = drawn(1797, key)
      expect([...whole].sort((p, q) => p - q)).toEqual(Array.from({ length: 1797 }, (_, i) => i))
      expect(drawn(1797, key)).toEqual(whole)
      for (const change of [{ seed: 10 }, { seed: 9 + 2 ** 32 }, { purpose: 2 }, { a: 2 }, { b: 2 }])
        expect(drawn(1797, { ...key, ...change })).not.toEqual(whole)
    })

    test('come several at a time, one for each value of a', () => {
      const key = { seed: 77, purpose: purposes.order, a: 4, b: 1 }
      const out = new Int32Array(30)
      backend?.permutations(out, 10, key)
      expect(Array.from(out)).toEqual([4, 5, 6].flatMap((a) => drawn(10, { ...key, a })))
    })

    test('refuse lengths that are not whole permutations', () => {
      const key = { seed: 1, purpose: purposes.order, a: 0, b: 0 }
      for (const n of [0, -1, 4, 1.5, Number.NaN])
        expect(`${n} ${codeOf(() => backend?.permutations(new Int32Array(10), n, key))}`).toBe(`${n} ERR_PROGRAM`)
    })

    test('are those of lib/util/random.ts', () => {
      const key = { seed: 123456789012, purpose: purposes.split, a: 4294967295, b: 7 }
      const expected = new Int32Array(5000)
      permutation(expected, key)
      expect(drawn(5000, key)).toEqual(Array.from(expected))
    })
  })
}
