/**
 * Models that are read while they are trained: all parameters are one known function of the epoch (θ = −epoch), so that a read
 * of two epochs, or of half of one, shows.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { add, FBGD, loadModel, nn, ones, saveModel, type Tensor, zeros } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'

announce('snapshots')

const layers = 41
const width = 97
const dtype = 'float64'

/** x ↦ Σₖ Wₖ x + bₖ: with x = 1 and the prediction as its cost every gradient is 1. */
class Sum extends nn.Module {
  readonly terms = Array.from({ length: layers }, () => new nn.Linear(width, 1, { init: (shape) => zeros(shape, { dtype }), dtype }))
  forward(x: Tensor): Tensor {
    return this.terms.map((term) => term.forward(x)).reduce(add)
  }
}
nn.registerModule('SumOfLinears', Sum)

const data = { x: ones([4, width], { dtype }), y: zeros([4, 1], { dtype }) }
const itself = (prediction: Tensor) => prediction
/** Of all parameters. */
const elements = layers * (width + 1)

/** The epoch that an output is of; fractions and −1 where it is of several. */
const epochOfOutput = (output: number) => -output / elements
/** The epoch that values are of; −1 where they are of several. */
function epochOf(arrays: readonly Iterable<number>[]): number {
  const first = -([...(arrays[0] as Iterable<number>)][0] as number)
  for (const values of arrays) for (const value of values) if (-value !== first) return -1
  return first
}

const slow = ['predictAsync', 'evaluate', 'saveModel']
const pause = () => new Promise((resolve) => setImmediate(resolve))

test.each(present)('every read during a fit is of one epoch, whole, on %s', { timeout: 120_000 }, async (engine) => {
  const folder = await mkdtemp(join(tmpdir(), 'wengert-snapshots-'))
  const path = join(folder, 'model')
  try {
    await using(engine, async () => {
      const model = new Sum()
      const trainer = new FBGD(model, { loss: itself, learningRate: 1 })
      const out = new Float64Array(4)
      const ways: Record<string, () => number | Promise<number>> = {
        stateDict: () => epochOf(Object.values(model.stateDict()).map(({ data: values }) => values)),
        'parameters, copied one by one': () => epochOf(model.parameters().map((p) => p.data.slice())),
        'parameters, held together': () => epochOf(model.parameters().map((p) => p.peek())),
        'eager forward': () => epochOfOutput(model.forward(data.x).data[0] as number),
        predict: () => epochOfOutput(model.predict(data.x).data[0] as number),
        predictInto: () => {
          model.predictInto(data.x.data, out, [4, width])
          return epochOfOutput(out[0] as number)
        },
        predictAsync: async () => epochOfOutput((await model.predictAsync(data.x)).data[0] as number),
        evaluate: async () => epochOfOutput((await trainer.evaluate(data)).cost),
        saveModel: async () => {
          await saveModel(model, path)
          return epochOf(Object.values((await loadModel(path)).stateDict()).map(({ data: values }) => values))
        },
        'stateDict and predict in one piece': () => {
          const [first] = Object.values(model.stateDict()) as [Tensor]
          const output = model.predict(data.x).data[0] as number
          return -(first.data[0] as number) === epochOfOutput(output) ? epochOfOutput(output) : -1
        },
      }
      const stop = new AbortController()
      const fit = trainer.fit(data, { epochs: 1e9, signal: stop.signal }).catch((error: unknown) => error)
      const bad: string[] = []
      const latest: Record<string, number> = {}
      let reads = 0
      // The JavaScript engine shares its thread with the readers: no read can meet an epoch under way.
      const wanted = engine === 'native' ? 8000 : 200
      for (let round = 0; reads < wanted || Object.keys(ways).some((name) => !latest[name]); round++) {
        for (const [name, read] of Object.entries(ways)) {
          // Files and other threads take their time: a few of them.
          if (slow.includes(name) && round % 20 !== 0) continue
          const epoch = await read()
          reads++
          if (!Number.isInteger(epoch) || epoch < (latest[name] ?? 0)) bad.push(`${name}: ${epoch} after ${latest[name]}`)
          else latest[name] = epoch
        }
        await pause()
      }
      stop.abort()
      await fit
      expect(bad).toEqual([])
      expect(epochOf(model.parameters().map((p) => p.data))).toBe(trainer.epoch)
    })
  } finally {
    await rm(folder, { recursive: true })
  }
})
