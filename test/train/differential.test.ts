/**
 * Training in a few hundred configurations drawn by chance, against PyTorch: model, loss, optimiser, clipping, weights, batches with a
 * short last one. Weights and data are drawn by a rule that scripts/golden/differential.py shares; the table holds configurations,
 * every epoch's cost, and of each tensor of the trained state one number in which every element counts.
 */

import { describe, expect, test } from 'vitest'
import { FBGD, loss as losses, MBSGD, nn, optim, randomOrder, SGD, type Tensor, type Trainer, tensor } from '../../lib/index.js'
import type { Parameter } from '../../lib/nn/parameter.js'
import type { FloatDtype, TypedArray } from '../../lib/util/dtype.js'
import { announce, present, using } from '../support/engines.js'
import { golden } from '../support/golden.js'
import { floats } from '../support/models.js'

interface Run {
  seed: number
  loss: string
  lossOptions?: { weight?: number[] }
  samples: number
  widths: number[]
  activation: 'Identity'
  norm?: 'BatchNorm1d' | 'LayerNorm'
  embedding?: [count: number, features: number]
  bias?: boolean
  freeze?: boolean
  distribution?: boolean
  weights?: boolean
  trainer: 'FBGD' | 'SGD' | 'MBSGD'
  batchSize?: number
  dropLast?: boolean
  accumulate?: number
  epochs: number
  optimizer: 'gradientDescent'
  options: { learningRate: number }
  clipNorm?: number
  clipValue?: number
  /** How far PyTorch's float32 is from its float64. */
  drift: number
  results: number[]
}
const file = golden<{ runs: Run[] }>('differential')
announce('differential table')

const byClass = ['crossEntropy', 'nll', 'multiClassHinge']
const heads: Record<string, () => nn.Module> = {
  bce: () => new nn.Sigmoid(),
  nll: () => new nn.LogSoftmax(),
  klDivergence: () => new nn.Softmax(),
  crossEntropyOf: () => new nn.Softmax(),
}

/** A linear congruential generator: numbers in [−1, 1) that float32 holds. */
function drawing(seed: number): (n: number) => number[] {
  let state = seed
  return (n) =>
    Array.from({ length: n }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return (state >>> 8) / 2 ** 23 - 1
    })
}

interface Task {
  model: nn.Sequential
  x: Tensor
  y: Tensor
  weights: Tensor | undefined
}

function taskOf(run: Run, dtype: FloatDtype): Task {
  const draw = drawing(run.seed)
  const { widths, samples: m, embedding, norm, bias = true } = run
  const layers: nn.Module[] = []
  const fill = (parameter: Parameter | undefined, factor: number) => {
    if (parameter)
      parameter.assign(
        tensor(
          draw(parameter.size).map((v) => v * factor),
          { shape: parameter.shape, dtype },
        ),
      )
  }
  let n = widths[0] as number
  if (embedding) {
    const table = new nn.Embedding(...embedding, { dtype })
    fill(table.weight, 1)
    layers.push(table, new nn.Flatten())
    n *= embedding[1]
  }
  let firstLinear: nn.Linear | undefined
  widths.slice(1).forEach((width, i) => {
    const last = i === widths.length - 2
    const linear = new nn.Linear(n, width, { bias: bias && (last || norm !== 'BatchNorm1d'), dtype })
    firstLinear ??= linear
    fill(linear.weight, n < 4 ? 1 : 0.5)
    fill(linear.bias, 0.25)
    layers.push(linear)
    if (last) return
    if (norm) {
      const layer = new nn[norm](width, { dtype })
      fill(layer.weight, 1)
      fill(layer.bias, 0.5)
      layers.push(layer)
    }
    layers.push(new nn[run.activation]())
    n = width
  })
  const head = heads[run.loss]
  if (head) layers.push(head())
  if (run.freeze) firstLinear?.freeze()
  const [inputs, outputs] = [widths[0] as number, widths.at(-1) as number]
  const x = draw(m * inputs).map((v) => (embedding ? Math.floor(((v + 1) / 2) * embedding[0]) : 2 * v))
  const labels = byClass.includes(run.loss) && !run.distribution
  let y = draw(labels ? m : m * outputs)
  if (labels) y = y.map((v) => Math.floor(((v + 1) / 2) * outputs))
  else if (run.loss === 'hinge') y = y.map((v) => (v >= 0 ? 1 : -1))
  else if (run.loss === 'bce' || run.loss === 'bceWithLogits') y = y.map((v) => (v + 1) / 2)
  else if (['crossEntropy', 'klDivergence', 'crossEntropyOf'].includes(run.loss)) {
    const shares = y.map((v) => (v + 1) / 2 + 0.125)
    y = shares.map((v, i) => {
      const row = Math.floor(i / outputs) * outputs
      return v / shares.slice(row, row + outputs).reduce((a, b) => a + b, 0)
    })
  }
  const weights = run.weights ? draw(m).map((v) => (v + 1) * 2) : undefined
  return {
    model: new nn.Sequential(...layers),
    x: tensor(x, { shape: [m, inputs], dtype }),
    y: labels ? tensor(Int32Array.from(y)) : tensor(y, { shape: [m, outputs], dtype }),
    weights: weights && tensor(weights, { dtype }),
  }
}

function trainerOf(run: Run, model: nn.Module): Trainer {
  const { trainer, batchSize = 1, dropLast = false, accumulate = 1, clipNorm, clipValue, lossOptions } = run
  const loss = losses[run.loss as 'huber']
  const options = {
    loss: lossOptions ? loss.with(lossOptions as object) : loss,
    optimizer: optim[run.optimizer](run.options),
    ...(clipNorm !== undefined && { clipNorm }),
    ...(clipValue !== undefined && { clipValue }),
  }
  if (trainer === 'FBGD') return new FBGD(model, options)
  return trainer === 'SGD' ? new SGD(model, options) : new MBSGD(model, { ...options, batchSize, dropLast, accumulate })
}

/** One number in which every element counts. */
const summed = (values: TypedArray): number => values.reduce((sum, v, i) => sum + v * (1 + ((i * 7) % 13) / 8), 0)
/** Parameters in the order of drawing, then running statistics. */
const stateOf = (model: nn.Module): number[] => [...model.parameters(), ...model.buffers()].map((p) => summed(p.peek()))

function farthestOf(actual: readonly number[], { results }: Run, tolerance: number): string {
  const far = results.findIndex((b, i) => !(Math.abs((actual[i] as number) - b) <= tolerance * Math.max(1, Math.abs(b))))
  return far < 0 && actual.length === results.length ? '' : `[${far}]: ${actual[far]} for ${results[far]}`
}

/** The same updates by `step`, the epochs' costs being the batches' by size. */
function stepwise(run: Run, { model, x, y, weights }: Task): number[] {
  const trainer = trainerOf(run, model)
  const m = run.samples
  const size = run.trainer === 'FBGD' ? m : run.trainer === 'SGD' ? 1 : (run.batchSize as number)
  return Array.from({ length: run.epochs }, (_, epoch) => {
    const order = Int32Array.from({ length: m }, (_, i) => i)
    if (run.trainer !== 'FBGD') randomOrder(order, { seed: file.seed, epoch })
    let [total, seen] = [0, 0]
    for (let at = 0; at < m; at += size) {
      const rows = Array.from(order.subarray(at, at + size))
      if (run.dropLast && rows.length < size && m >= size) continue
      const cost = trainer.step(x.gather(rows), y.gather(rows), weights ? { weights: weights.gather(rows) } : {})
      total += cost * rows.length
      seen += rows.length
    }
    return total / seen
  })
}

test('the table has every loss, optimiser, trainer and layer', () => {
  const seen = (pick: (run: Run) => unknown) => new Set(file.runs.map(pick)).size
  expect(file.runs.length).toBeGreaterThanOrEqual(400)
  expect([seen((r) => r.loss), seen((r) => r.optimizer), seen((r) => r.trainer), seen((r) => r.norm)]).toEqual([13, 5, 3, 3])
  expect(seen((r) => r.activation)).toBe(13)
})

const parts = Array.from({ length: Math.ceil(file.runs.length / 50) }, (_, i) => file.runs.slice(i * 50, (i + 1) * 50))
describe.each(present)('on the %s engine', (engine) => {
  describe.each(floats)('in %s', (dtype) => {
    test.each(parts.map((runs) => [`configurations ${runs[0]?.seed} to ${runs.at(-1)?.seed}`, runs] as const))('%s', async (_, runs) => {
      const failures: string[] = []
      for (const run of runs) {
        // Rounding differs from PyTorch's by as much as PyTorch's own float32 strays, a few times over.
        const tolerance = dtype === 'float64' ? 1e-9 : Math.max(1e-5, 10 * run.drift)
        await using(engine, async () => {
          const task = taskOf(run, dtype)
          const { model, x, y, weights } = task
          const history = await trainerOf(run, model).fit({ x, y, ...(weights && { weights }) }, { epochs: run.epochs, seed: file.seed })
          const far = farthestOf([...history.epochs.map((e) => e.cost), ...stateOf(model)], run, tolerance)
          if (far) failures.push(`${JSON.stringify({ ...run, results: undefined })}: fit ${far}`)
          // A step has no batches to add up.
          if (run.accumulate || run.samples > 100) return
          const again = taskOf(run, dtype)
          const costs = stepwise(run, again)
          const apart = farthestOf([...costs, ...stateOf(again.model)], run, tolerance)
          if (apart) failures.push(`${JSON.stringify({ ...run, results: undefined })}: step ${apart}`)
        })
      }
      expect(failures).toEqual([])
    })
  })
})
