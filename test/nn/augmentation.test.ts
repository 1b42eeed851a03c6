/** Augmentation: what each layer does in training, nothing in use, the same on both engines, and a resumed fit bit for bit. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { FBGD, loadModel, loss, MBSGD, nn, Random, SGD, saveModel, type Tensor, tensor, zeros } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, during, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('augmentation')
const folder = mkdtempSync(join(tmpdir(), 'wengert-augmentation-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** m images of 2 channels, the cells of each numbered from 1: row-major, the second channel 1000 further on. */
const numbered = (m: number, h: number, w: number): Tensor =>
  tensor(
    Array.from({ length: m * 2 * h * w }, (_, i) => (i % (h * w)) + 1 + (Math.floor(i / (h * w)) % 2) * 1000),
    { shape: [m, 2, h, w] },
  )
const samplesOf = (x: Tensor) => Array.from({ length: x.shape[0] as number }, (_, i) => Array.from(x.gather(i).data))
const counts = (lists: number[][]) => {
  const found = new Map<string, number>()
  for (const list of lists) found.set(list.join(' '), (found.get(list.join(' ')) ?? 0) + 1)
  return found
}
/** Whether the counts of all kinds are those of equal chances: within five standard deviations. */
const even = (found: Map<string, number>, kinds: number, m: number) => {
  expect(found.size).toBe(kinds)
  const p = 1 / kinds
  for (const n of found.values()) expect(Math.abs(n - m * p)).toBeLessThan(5 * Math.sqrt(m * p * (1 - p)))
}

describe.each(present)('on the %s engine', (engine) => {
  test('flips: whole images, as often as asked', () => {
    using(engine, () => {
      const x = numbered(2000, 2, 3)
      const [first] = samplesOf(x) as [number[]]
      const across = [3, 2, 1, 6, 5, 4]
      const down = [4, 5, 6, 1, 2, 3]
      for (const [layer, order] of [
        [new nn.RandomHorizontalFlip(), across],
        [new nn.RandomVerticalFlip(), down],
      ] as const) {
        const found = counts(samplesOf(layer.forward(x)))
        even(found, 2, 2000)
        expect([...found.keys()].sort()).toEqual([first.join(' '), [...order, ...order.map((v) => v + 1000)].join(' ')].sort())
      }
      const rare = counts(samplesOf(new nn.RandomHorizontalFlip(0.1).forward(x)))
      expect(Math.abs((rare.get(first.join(' ')) as number) / 2000 - 0.9)).toBeLessThan(0.04)
      expect(samplesOf(new nn.RandomHorizontalFlip(1).forward(x))[7]?.slice(0, 6)).toEqual(across)
      const signal = new nn.RandomHorizontalFlip(1).forward(tensor([[[1, 2, 3]]]))
      expect(Array.from(signal.data)).toEqual([3, 2, 1])
    })
  })

  test('shifts and crops: every place, as likely as the others, both channels alike', () => {
    using(engine, () => {
      const x = numbered(3000, 3, 3)
      const at = (v: number[], r: number, c: number) => (r < 0 || r > 2 || c < 0 || c > 2 ? 0 : (v[3 * r + c] as number))
      const shifted = counts(samplesOf(new nn.RandomShift([1, 2]).forward(x)))
      even(shifted, 15, 3000)
      const cells = [1, 2, 3, 4, 5, 6, 7, 8, 9]
      const expected = [-1, 0, 1].flatMap((dr) =>
        [-2, -1, 0, 1, 2].map((dc) => {
          const one = cells.map((_, i) => at(cells, Math.floor(i / 3) + dr, (i % 3) + dc))
          return [...one, ...one.map((v) => (v === 0 ? 0 : v + 1000))].join(' ')
        }),
      )
      expect([...shifted.keys()].sort()).toEqual(expected.sort())
      const cropped = new nn.RandomCrop(2).forward(x)
      expect(cropped.shape).toEqual([3000, 2, 2, 2])
      const windows = counts(samplesOf(cropped))
      even(windows, 4, 3000)
      expect([...windows.keys()].map((k) => k.split(' ').slice(0, 4).join(' ')).sort()).toEqual([
        '1 2 4 5',
        '2 3 5 6',
        '4 5 7 8',
        '5 6 8 9',
      ])
      expect(new nn.RandomCrop(3, { padding: 1 }).forward(x).shape).toEqual(x.shape)
      const middle = new nn.RandomCrop([1, 3], { padding: [0, 1] }).eval().forward(x)
      expect(samplesOf(middle)[0]?.slice(0, 3)).toEqual([4, 5, 6])
      const signals = counts(samplesOf(new nn.RandomShift(1).forward(tensor(new Array(900).fill([[1, 2, 3]])))))
      even(signals, 3, 900)
      expect([...signals.keys()].sort()).toEqual(['0 1 2', '1 2 3', '2 3 0'])
    })
  })

  test('noise: its mean and deviation, in both types', () => {
    using(engine, () => {
      for (const dtype of ['float32', 'float64'] as const) {
        const y = new nn.GaussianNoise(0.5).forward(zeros([100, 100], { dtype }).add(3))
        expect(y.dtype).toBe(dtype)
        expect(Math.abs(y.mean().item() - 3)).toBeLessThan(0.03)
        expect(Math.abs(y.std().item() - 0.5)).toBeLessThan(0.02)
      }
    })
  })

  const layers = () => [
    new nn.RandomHorizontalFlip(),
    new nn.RandomVerticalFlip(0.3),
    new nn.RandomShift(1),
    new nn.RandomCrop(5, { padding: 1 }),
    new nn.GaussianNoise(0.1),
  ]
  const make = () =>
    new nn.Sequential(
      ...layers(),
      new nn.Conv2d(1, 3, 3, { rng: new Random(1) }),
      new nn.BatchNorm2d(3),
      new nn.ReLU(),
      new nn.Dropout2d(0.2),
      new nn.GlobalAvgPool2d(),
      new nn.Linear(3, 2, { rng: new Random(2) }),
    )
  const data = { x: new Random(3).normal([24, 1, 6, 6]), y: Int32Array.from({ length: 24 }, (_, i) => i % 2) }

  test('in use a model gives what it gives without', () => {
    using(engine, () => {
      const model = make()
      const bare = new nn.Sequential(...model.layers.filter((l) => !/^Random|^Gauss/.test(l.describe())))
      const inner = data.x.slice([], [], [0, 5], [0, 5])
      const cropless = new nn.Sequential(...model.layers.filter((l) => !/^RandomCrop/.test(l.describe())))
      expect(cropless.predict(inner).data).toEqual(bare.predict(inner).data)
      expect(model.predict(data.x).data).toEqual(model.predict(data.x).data)
    })
  })

  test.each([
    ['MBSGD', (model: nn.Module) => new MBSGD(model, { loss: loss.crossEntropy, learningRate: 0.1, batchSize: 8 })],
    ['SGD', (model: nn.Module) => new SGD(model, { loss: loss.crossEntropy, learningRate: 0.01 })],
    ['FBGD', (model: nn.Module) => new FBGD(model, { loss: loss.crossEntropy, learningRate: 0.1 })],
  ] as const)('a resumed fit of %s is the whole one, bit for bit, in a process that drew otherwise', async (name, trainerOf) => {
    await during(engine, async () => {
      const whole = make()
      await trainerOf(whole).fit(data, { epochs: 4, seed: 5 })
      const path = join(folder, `${engine}-${name}.ckpt`)
      const first = trainerOf(make())
      await first.fit(data, { epochs: 2, seed: 5 })
      await first.save(path)
      make().forward(data.x)
      const second = make()
      const rest = trainerOf(second)
      await rest.resume(path)
      await rest.fit(data, { epochs: 2, seed: 5 })
      expect(second.stateDict()).toEqual(whole.stateDict())
      const other = make()
      await trainerOf(other).fit(data, { epochs: 4, seed: 6 })
      expect(other.stateDict()).not.toEqual(whole.stateDict())
    })
  })

  test('saved, loaded, and the same in use', async () => {
    await during(engine, async () => {
      const model = make()
      const path = join(folder, `${engine}.wengert`)
      await saveModel(model, path)
      const copy = await loadModel(path)
      expect(copy.predict(data.x).data).toEqual(model.predict(data.x).data)
      expect((copy as unknown as nn.Sequential).layers.map((l) => l.describe())).toEqual(model.layers.map((l) => l.describe()))
    })
  })
})

test.skipIf(present.length < 2)('both engines draw the same', async () => {
  const results: Tensor[] = []
  for (const engine of present) {
    await during(engine, async () => {
      const model = new nn.Sequential(
        new nn.RandomShift(2),
        new nn.RandomHorizontalFlip(),
        new nn.GaussianNoise(0.1),
        new nn.Flatten(),
        new nn.Linear(36, 2, { rng: new Random(1), dtype: 'float64' }),
      )
      const x = new Random(3).normal([12, 1, 6, 6], { dtype: 'float64' })
      const trainer = new MBSGD(model, { loss: loss.crossEntropy, learningRate: 0.1, batchSize: 4 })
      await trainer.fit({ x, y: Int32Array.from({ length: 12 }, (_, i) => i % 2) }, { epochs: 3, seed: 1 })
      results.push(model.parameters()[0]?.resolve() as Tensor)
    })
  }
  expect(farthest((results[0] as Tensor).data, (results[1] as Tensor).data, 1e-10)).toBe('')
})

describe('misuse is refused by name', () => {
  const x = zeros([2, 1, 4, 4])
  const cases: [string, () => unknown, string, RegExp][] = [
    ['rows', () => new nn.RandomHorizontalFlip().forward(zeros([2, 3])), 'ERR_SHAPE', /RandomHorizontalFlip: expected x of shape/],
    ['a signal turned upside down', () => new nn.RandomVerticalFlip().forward(zeros([2, 1, 4])), 'ERR_SHAPE', /\[m, C, H, W\], got/],
    ['a share below 0', () => new nn.RandomVerticalFlip(-1), 'ERR_RANGE', /RandomVerticalFlip/],
    ['a shift of half a pixel', () => new nn.RandomShift(0.5), 'ERR_RANGE', /RandomShift/],
    ['three distances', () => new nn.RandomShift([1, 2, 3]), 'ERR_OPTION', /by is a whole number or a list of 2/],
    ['a window too large', () => new nn.RandomCrop(5).forward(x), 'ERR_SHAPE', /5 × 5 does not fit on images of 4 × 4/],
    ['in use too', () => new nn.RandomCrop(5).predict(x), 'ERR_SHAPE', /does not fit/],
    ['a misspelling', () => new nn.RandomCrop(3, { pad: 1 } as never), 'ERR_OPTION', /padding/],
    ['a deviation below 0', () => new nn.GaussianNoise(-0.1), 'ERR_RANGE', /deviation/],
  ]
  test.each(cases)('%s', (_name, attempt, code, message) => {
    expect(codeOf(attempt)).toBe(code)
    expect(attempt).toThrow(message)
  })
})
