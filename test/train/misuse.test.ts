/** What trainers refuse: each with its code and a message that helps, before anything is changed. And divergence. */

import { describe, expect, test } from 'vitest'
import { backend, FBGD, loss, MBSGD, nn, optim, Random, SGD, type Tensor, tensor, type WengertError } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { snapshot } from '../support/models.js'

const x = new Random(1).normal([6, 4])
const y = tensor([[0], [1], [0], [1], [0], [1]])
const labels = tensor(Int32Array.of(0, 1, 2, 0, 1, 2))

const regressor = () => new nn.Sequential(new nn.Linear(4, 1, { rng: new Random(2) }))
const classifier = () => new nn.Sequential(new nn.Linear(4, 3, { rng: new Random(2) }))
const options = { loss: loss.squaredError, learningRate: 0.1 }

function detached(): Float32Array {
  const array = new Float32Array(24)
  structuredClone(array, { transfer: [array.buffer] })
  return array
}
const withOne = (value: number): Tensor => {
  const t = tensor(x.data.slice(), { shape: [6, 4] })
  t.data[9] = value
  return t
}

type Refusal = [what: string, code: string, says: RegExp, data: unknown, fit?: unknown]
const regression: Refusal[] = [
  ['features of another width', 'ERR_SHAPE', /\[\*, 4\].*\[1, 3\].*layer 0/s, { x: new Random(1).normal([6, 3]), y }],
  ['targets of another width', 'ERR_SHAPE', /\[6, 1\].*\[6, 2\]/, { x, y: new Random(1).normal([6, 2]) }],
  ['targets without their axis', 'ERR_SHAPE', /\[6, 1\].*\[6\]/, { x, y: [0, 1, 0, 1, 0, 1] }],
  ['fewer targets than samples', 'ERR_DATA', /6.*5/, { x, y: y.slice([0, 5]) }],
  ['an empty set', 'ERR_DATA', /at least one/, { x: tensor([], { shape: [0, 4] }), y: tensor([], { shape: [0, 1] }) }],
  ['an empty array', 'ERR_DATA', /at least one/, { x: [], y: [] }],
  ['NaN in a feature', 'ERR_DATA', /NaN in x of sample 2, feature 1/, { x: withOne(Number.NaN), y }],
  ['infinity in a feature', 'ERR_DATA', /-Infinity in x of sample 2/, { x: withOne(-Infinity), y }],
  ['NaN in a target', 'ERR_DATA', /NaN in y of sample 3/, { x, y: [[0], [1], [0], [Number.NaN], [0], [1]] }],
  ['a detached buffer', 'ERR_DETACHED', /transferred/, { x: detached(), y }],
  [
    'ragged rows',
    'ERR_SHAPE',
    /\[4\].*\[3\]/,
    {
      x: [
        [1, 2, 3, 4],
        [1, 2, 3],
      ],
      y: [[1], [2]],
    },
  ],
  ['strings', 'ERR_VALUE', /'a'/, { x: [['a']], y }],
  ['a scalar', 'ERR_SHAPE', /scalar/, { x: 3, y }],
  ['no targets', 'ERR_VALUE', /\{ x, y \}/, { x }],
  ['no data', 'ERR_VALUE', /\{ x, y \}/, undefined],
  [
    'a number too large for float32',
    'ERR_DATA',
    /Infinity in x of sample 0, feature 0/,
    { x: tensor(Array(24).fill(1e300), { shape: [6, 4], dtype: 'float64' }), y },
  ],
  ['a misspelled option', 'ERR_OPTION', /'epoch'; did you mean 'epochs'\?/, { x, y }, { epoch: 3 }],
  ['options that are none', 'ERR_OPTION', /object of options/, { x, y }, 3],
  ['no number of epochs', 'ERR_RANGE', /epochs.*undefined/, { x, y }, {}],
  ['half an epoch', 'ERR_RANGE', /epochs.*0\.5/, { x, y }, { epochs: 0.5 }],
  ['negative epochs', 'ERR_RANGE', /epochs.*-1/, { x, y }, { epochs: -1 }],
  ['endless epochs', 'ERR_RANGE', /epochs.*Infinity/, { x, y }, { epochs: Infinity }],
  ['a negative tolerance', 'ERR_RANGE', /tolerance/, { x, y }, { epochs: 1, tolerance: -1 }],
  ['a time that is not a number', 'ERR_RANGE', /maxSeconds/, { x, y }, { epochs: 1, maxSeconds: '3' }],
  ['a fractional seed', 'ERR_RANGE', /seed/, { x, y }, { epochs: 1, seed: 0.5 }],
  ['a signal that is none', 'ERR_OPTION', /AbortSignal/, { x, y }, { epochs: 1, signal: {} }],
  ['a callback that is none', 'ERR_OPTION', /onEpoch/, { x, y }, { epochs: 1, onEpoch: 'log' }],
  ['an unknown metric', 'ERR_OPTION', /'acuracy'; did you mean 'accuracy'\?/, { x, y }, { epochs: 1, metrics: ['acuracy'] }],
  ['metrics that are no list', 'ERR_OPTION', /list/, { x, y }, { epochs: 1, metrics: 'accuracy' }],
  ['accuracy of numbers', 'ERR_OPTION', /accuracy.*classes/, { x, y }, { epochs: 1, metrics: ['accuracy'] }],
  [
    'validation of another width',
    'ERR_SHAPE',
    /3/,
    { x, y },
    { epochs: 1, validation: { x: new Random(1).normal([2, 3]), y: [[1], [2]] } },
  ],
  ['validation with NaN', 'ERR_DATA', /validation.*NaN/, { x, y }, { epochs: 1, validation: { x: withOne(Number.NaN), y } }],
]
const classification: Refusal[] = [
  ['a label that is too large', 'ERR_LABEL', /0 … 2.*3.*sample 1/, { x, y: [0, 3, 1, 0, 1, 2] }],
  ['a negative label', 'ERR_LABEL', /-1.*sample 0/, { x, y: Int32Array.of(-1, 0, 1, 0, 1, 2) }],
  ['a fractional label', 'ERR_LABEL', /0\.5.*sample 5/, { x, y: [0, 1, 1, 0, 1, 0.5] }],
  ['a distribution beyond [0, 1]', 'ERR_RANGE', /\[0, 1\].*1\.5/, { x, y: [...Array(5).fill([1, 0, 0]), [1.5, 0, 0]] }],
  ['validation labels out of range', 'ERR_LABEL', /7/, { x, y: labels }, { epochs: 1, validation: { x, y: [0, 1, 2, 0, 1, 7] } }],
]

const refused = async (promise: Promise<unknown>): Promise<WengertError> =>
  promise.then(
    () => Promise.reject(new Error('was not refused')),
    (error) => error,
  )

async function checkRefusal(model: nn.Module, trainer: SGD | FBGD | MBSGD, [, code, says, data, fit = { epochs: 1, seed: 1 }]: Refusal) {
  const before = snapshot(model)
  const error = await refused(trainer.fit(data as never, fit as never))
  expect(error.code, error.stack ?? '').toBe(code)
  expect(error.message).toMatch(says)
  expect(snapshot(model)).toEqual(before)
  expect([trainer.epoch, trainer.updates]).toEqual([0, 0])
  expect(model.parameters()[0]?.busy).toBe(false)
}

describe('fit refuses', () => {
  test.each(regression)('%s', async (...refusal) => {
    const model = regressor()
    await checkRefusal(model, new MBSGD(model, { ...options, batchSize: 2 }), refusal)
  })
  test.each(classification)('%s', async (...refusal) => {
    const model = classifier()
    await checkRefusal(model, new SGD(model, { loss: loss.crossEntropy, learningRate: 0.1 }), refusal)
  })
  test('probabilities outside [0, 1]', async () => {
    const model = regressor()
    const trainer = new FBGD(model, { loss: loss.bceWithLogits, learningRate: 0.1 })
    await checkRefusal(model, trainer, ['', 'ERR_RANGE', /\[0, 1\].*2/, { x, y: [[0], [1], [0], [2], [0], [1]] }])
  })
  test('epochs() refuses what fit refuses', async () => {
    const trainer = new SGD(regressor(), options)
    expect((await refused(trainer.epochs({ x, y }, { epochs: -1 }).next())).code).toBe('ERR_RANGE')
  })
  test('a refused fit leaves the trainer ready', async () => {
    const trainer = new SGD(regressor(), options)
    await refused(trainer.fit({ x, y: labels as never }, { epochs: 1 }))
    expect((await trainer.fit({ x, y }, { epochs: 1 })).updates).toBe(6)
  })
})

describe('step and evaluate refuse', () => {
  test('wrong shapes, labels and numbers, before anything is changed', async () => {
    const model = classifier()
    const trainer = new SGD(model, { loss: loss.crossEntropy, learningRate: 0.1 })
    const before = snapshot(model)
    expect(codeOf(() => trainer.step([[1, 2, 3]], [0]))).toBe('ERR_SHAPE')
    expect(codeOf(() => trainer.step([[1, 2, 3, 4]], [3]))).toBe('ERR_LABEL')
    expect(codeOf(() => trainer.step([[1, 2, 3, Number.NaN]], [0]))).toBe('ERR_DATA')
    expect(codeOf(() => trainer.step([[1, 2, 3, 4]], [0, 1]))).toBe('ERR_DATA')
    expect(codeOf(() => trainer.step(detached(), [0]))).toBe('ERR_DETACHED')
    expect((await refused(trainer.evaluate({ x, y: labels }, { metric: [] } as never))).code).toBe('ERR_OPTION')
    expect((await refused(trainer.evaluate({ x, y: [0] }))).code).toBe('ERR_DATA')
    expect(snapshot(model)).toEqual(before)
    expect(trainer.updates).toBe(0)
  })
})

describe('constructors refuse', () => {
  const message = (f: () => unknown): string => {
    try {
      f()
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }
  test.each([0, -1, Number.NaN, Infinity, '0.1', null])('the learning rate %s', (learningRate) => {
    const make = () => new SGD(regressor(), { loss: loss.mse, learningRate: learningRate as number })
    expect(codeOf(make)).toBe('ERR_RANGE')
    expect(message(make)).toContain('learningRate')
  })
  test('a missing or doubled rate, a missing loss, what is not a module', () => {
    expect(codeOf(() => new FBGD(regressor(), { loss: loss.mse }))).toBe('ERR_OPTION')
    expect(codeOf(() => new FBGD(regressor(), { ...options, optimizer: optim.gradientDescent({ learningRate: 1 }) }))).toBe('ERR_OPTION')
    expect(codeOf(() => new FBGD(regressor(), { learningRate: 1 } as never))).toBe('ERR_OPTION')
    expect(codeOf(() => new FBGD(regressor(), undefined as never))).toBe('ERR_OPTION')
    expect(codeOf(() => new FBGD({} as never, options))).toBe('ERR_VALUE')
    expect(codeOf(() => new FBGD(regressor(), { ...options, schedule: 0.9 as never }))).toBe('ERR_OPTION')
  })
  test('misspelled options, and batch sizes that are none', () => {
    expect(message(() => new SGD(regressor(), { loss: loss.mse, learningrate: 1 } as never))).toContain("did you mean 'learningRate'?")
    for (const batchSize of [0, -3, 1.5, Number.NaN, undefined, '32'])
      expect(codeOf(() => new MBSGD(regressor(), { ...options, batchSize: batchSize as number }))).toBe('ERR_RANGE')
    expect(message(() => new MBSGD(regressor(), { ...options, batchsize: 3 } as never))).toContain("did you mean 'batchSize'?")
    expect(codeOf(() => new SGD(regressor(), { ...options, batchSize: 3 } as never))).toBe('ERR_OPTION')
  })
})

describe(`divergence on ${backend().name}`, () => {
  const big = { x: tensor([[1e4], [-1e4], [1e4], [2e4]]), y: tensor([[1], [2], [3], [4]]) }
  const line = () => new nn.Linear(1, 1, { rng: new Random(3) })

  test('a fit that diverges says so, and keeps the last finite parameters', async () => {
    const model = line()
    const trainer = new SGD(model, { loss: loss.squaredError, learningRate: 1 })
    const error = await refused(trainer.fit(big, { epochs: 50, seed: 1 }))
    expect(error.code).toBe('ERR_DIVERGED')
    expect(error.message).toMatch(/learning rate \(now 1\)/)
    for (const values of Object.values(snapshot(model))) expect(values.every(Number.isFinite)).toBe(true)
    // The counters are those of the parameters that were kept.
    expect(trainer.updates).toBe(trainer.epoch * 4)
    const again = new SGD(line(), { loss: loss.squaredError, learningRate: 1 })
    const kept = trainer.epoch
    if (kept > 0) await again.fit(big, { epochs: kept, seed: 1 })
    expect(snapshot(again.model)).toEqual(snapshot(model))
  })

  test('a step that diverges changes nothing', () => {
    const model = line()
    const trainer = new SGD(model, { loss: loss.squaredError, learningRate: 1 })
    for (let i = 0; i < 100; i++) {
      const before = snapshot(model)
      const updates = trainer.updates
      try {
        trainer.step(big.x, big.y)
      } catch (error) {
        expect((error as WengertError).code).toBe('ERR_DIVERGED')
        expect(snapshot(model)).toEqual(before)
        expect(trainer.updates).toBe(updates)
        return
      }
    }
    expect.unreachable('it never diverged')
  })
})
