import { expect, it } from 'vitest'
import { nn, ones, Random, seed } from '../../lib/index.js'
import { withDraws } from '../../lib/nn/dropout.js'
import { tensor } from '../../lib/tensor/creation.js'
import { replayable } from '../../lib/util/draws.js'

it('a replay draws the same numbers, of every source, and the sources go on as if there had been none', () => {
  seed(3)
  const rng = new Random(1)
  const layer = new nn.Dropout(0.5)
  const draw = () => [rng.normal([4]), layer.forward(ones([2, 8]))].map((x) => Array.from(x.data))
  const before = draw()
  const [first, replay] = replayable(draw)
  const after = draw()
  expect(replay(draw)).toEqual(first)
  expect(replay(() => replayable(draw)[1](draw))).toEqual(first)
  const later = draw()
  expect(new Set([before, first, after, later].map((x) => JSON.stringify(x))).size).toBe(4)

  seed(3)
  const again = new Random(1)
  const plain = Array.from({ length: 4 }, () => [again.normal([4]), layer.forward(ones([2, 8]))].map((x) => Array.from(x.data)))
  expect([before, first, after, later]).toEqual(plain)
})

it('a replay within a replayed function does not shift what that function draws', () => {
  const rng = new Random(5)
  const draw = () => Array.from(rng.normal([2]).data)
  const [, inner] = replayable(draw)
  draw()
  const outer = () => [inner(draw), draw(), draw()]
  const [first, replay] = replayable(outer)
  draw()
  expect(replay(outer)).toEqual(first)
})

it("a training step's dropout is replayed outside of the step too", () => {
  const layer = new nn.Dropout(0.5)
  const draw = () => Array.from(layer.forward(ones([2, 8])).data)
  const counter = tensor(new Int32Array([7, 0, 3, 0]))
  let replay: (again: () => number[]) => number[] = (again) => again()
  const inStep = () =>
    withDraws(counter, 0, () => {
      const head = draw()
      const [first, own] = replayable(draw)
      replay = own
      return [head, first, draw()]
    })
  const [head, first, last] = inStep()
  expect(new Set([head, first, last].map(String)).size).toBe(3)
  expect(replay(draw)).toEqual(first)
  expect(inStep()).toEqual([head, first, last])
})
