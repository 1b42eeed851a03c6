/**
 * Models over sequences made at random, through everything that is promised of them: compiled as eagerly, both engines, gradients by
 * differences, padding, one sample and batches, checkpoints, steppers, types. `WENGERT_RANDOM_COUNT` and `WENGERT_RANDOM_FROM` run others.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as w from '../../lib/index.js'
import { outputOf } from '../../lib/nn/output.js'
import { withBindings } from '../../lib/nn/parameter.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import type { FloatDtype } from '../../lib/util/dtype.js'
import { announce, during, present } from '../support/engines.js'
import { ReadingSteps, type SequenceTask, sequenceTask } from '../support/random-sequences.js'
import { farthest } from '../support/tolerance.js'

announce('compositions of sequence layers')

const count = Number(process.env.WENGERT_RANDOM_COUNT ?? 16)
const from = Number(process.env.WENGERT_RANDOM_FROM ?? 0)

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wengert-compositions-'))
})
afterAll(() => rm(folder, { recursive: true }))

const stateOf = (model: w.nn.Module): Tensor[] => Object.values(model.stateDict())
const near = (dtype: FloatDtype, slack = 1) => slack * (dtype === 'float32' ? 1e-5 : 1e-11)

/** As `farthest`; where all is next to nothing, as the gradient of keys' biases is, by a hundredth. */
const apart = (a: Tensor, b: Tensor | undefined, tolerance: number): string =>
  farthest([...a.data, 0.01], [...(b?.data ?? []), 0.01], tolerance)

/** A task in a type, and what is asked of it. */
class Trial {
  readonly wrong: string[] = []
  constructor(
    readonly task: SequenceTask,
    readonly dtype: FloatDtype,
    readonly number: number,
  ) {}

  get lengths(): Tensor | undefined {
    return this.task.lengths && w.tensor(this.task.lengths)
  }
  x(values = this.task.x(this.dtype)): Tensor | { x: Tensor; lengths: Tensor } {
    return this.lengths ? { x: values, lengths: this.lengths } : values
  }
  get data() {
    return { x: this.x(), y: this.task.y(this.dtype) } as { x: Tensor; y: Tensor }
  }
  note(what: string, difference: string): void {
    if (difference) this.wrong.push(`${what} ${difference}`)
  }
  same(what: string, a: readonly Tensor[], b: readonly Tensor[], tolerance: number): void {
    for (const [i, t] of a.entries()) this.note(`${what}, value ${i}:`, apart(t, b[i], tolerance))
  }

  /** Outputs that count: all, or the steps within the lengths; [sample, steps, …]. */
  counted(y: Tensor, sample: number): Tensor {
    const { lengths, everyStep } = this.task
    const own = y.gather(sample)
    return everyStep && lengths ? own.slice([0, lengths[sample] as number]) : own
  }
  samples(): number[] {
    return Array.from({ length: this.task.m }, (_, i) => i)
  }
  /** A sample by itself, cut to its length. */
  alone(sample: number): Tensor {
    const { lengths, T } = this.task
    return this.task.x(this.dtype).slice([sample, sample + 1], [0, lengths?.[sample] ?? T])
  }

  /** The cost and its gradient, eagerly, of values of x. */
  gradients(model: w.nn.Module, x: Tensor, y: Tensor): Tensor[] {
    const parameters = model.parameters()
    const mask = this.task.everyStep && this.task.lengths ? this.within() : undefined
    const [cost, g] = w.valueAndGrad((values: Tensor[]) =>
      withBindings(parameters, values, () => this.task.loss(outputOf(model, this.x(x) as Tensor), y, { mask } as never)),
    )(parameters.map((p) => w.tensor(p.data.slice(), { shape: p.shape, dtype: p.dtype }))) as [Tensor, Tensor[]]
    return [cost, ...g]
  }
  within(): Tensor {
    const { m, T, lengths } = this.task
    const counted = Int32Array.from({ length: m * T }, (_, i) => (i % T < (lengths?.[Math.floor(i / T)] ?? T) ? 1 : 0))
    return w.tensor(counted, { shape: [m, T] }).cast('bool')
  }
  /** The same values, but for what is padding. */
  otherwise(): { x: Tensor; y: Tensor } {
    const { m, T, looksUp, everyStep } = this.task
    const [x, y] = [this.task.x(this.dtype), this.task.y(this.dtype)]
    const inside = this.within().data
    const change = (t: Tensor, f: (v: number, i: number) => number): Tensor => {
      const each = t.size / (m * T)
      const data = t.data.slice()
      for (let i = 0; i < t.size; i++) if (!inside[Math.floor(i / each)]) data[i] = f(data[i] as number, i)
      return w.tensor(data, { shape: t.shape, dtype: t.dtype })
    }
    const others = (v: number, i: number) => 50 * Math.sin(i + 1) - v
    return {
      x: change(x, looksUp ? (v) => (v + 2) % 5 : others),
      y: everyStep ? change(y, y.dtype === 'int32' ? (v) => 1 - v : others) : y,
    }
  }
}

const trained = async (trial: Trial, model: w.nn.Module, epochs = 3, data: { x: Tensor; y: Tensor } = trial.data) => {
  const { task } = trial
  await new w.MBSGD(model, { loss: task.loss, optimizer: task.optimizer(), batchSize: 2 }).fit(data, { epochs, seed: 5, divergence: false })
  return stateOf(model)
}

/** What is asked on each engine; what it gives must be the same on both. */
const demands: Record<string, (trial: Trial) => Promise<readonly Tensor[]> | readonly Tensor[]> = {
  'predicted as eagerly': (t) => {
    const model = t.task.make(t.dtype).eval()
    const y = outputOf(model, t.x() as Tensor)
    t.note('outputs', y.data.every((v: number) => Number.isFinite(v)) ? '' : 'are not finite')
    t.same('predicted', [model.predict(t.x() as Tensor)], [y], near(t.dtype))
    return [y]
  },

  'gradients by differences': (t) => {
    if (t.dtype === 'float32') return []
    const model = t.task.make(t.dtype).eval()
    const parameters = model.parameters()
    const values = parameters.map((p) => w.tensor(p.data.slice(), { shape: p.shape, dtype: p.dtype }))
    const report = w.checkGradients(
      (...given: Tensor[]) => withBindings(parameters, given, () => t.task.loss(outputOf(model, t.x() as Tensor), t.task.y(t.dtype))),
      values,
      { directions: 2, step: 1e-6, tolerance: 3e-6 },
    )
    t.note('gradients', report.ok ? '' : String(report))
    return t.gradients(model, t.task.x(t.dtype), t.task.y(t.dtype))
  },

  'trained compiled as eagerly': async (t) => {
    const left = await trained(t, t.task.make(t.dtype))
    const eager = t.task.make(t.dtype)
    await trained(t, new ReadingSteps(eager))
    t.same('fit', left, stateOf(eager), near(t.dtype, 200))
    return left
  },

  'trained sample by sample, and by a stream': async (t) => {
    const options = () => ({ loss: t.task.loss, optimizer: t.task.optimizer() })
    const [compiled, eager] = [t.task.make(t.dtype), t.task.make(t.dtype)]
    for (const model of [compiled, new ReadingSteps(eager)])
      await new w.SGD(model, options()).fit(t.data, { epochs: 1, seed: 5, divergence: false })
    t.same('fit', stateOf(compiled), stateOf(eager), near(t.dtype, 200))
    const [stepped, streamed] = [t.task.make(t.dtype), t.task.make(t.dtype)]
    const { x, y } = t.data
    const batches = function* () {
      for (let i = 0; i < 2; i++) yield { x, y }
    }
    w.seed(t.number)
    const stepping = new w.FBGD(stepped, options())
    for (const batch of batches()) stepping.step(batch.x, batch.y)
    w.seed(t.number)
    await new w.FBGD(streamed, options()).fitStream(batches())
    t.same('a stream', stateOf(streamed), stateOf(stepped), 0)
    t.same('predicted apart', [await streamed.predictAsync(x)], [streamed.predict(x)], 0)
    return stateOf(compiled)
  },

  'what is padding never counts': async (t) => {
    if (!t.task.lengths) return []
    const model = t.task.make(t.dtype).eval()
    const { x, y } = t.otherwise()
    const [own, other] = [model.predict(t.x() as Tensor), model.predict(t.x(x) as Tensor)]
    t.same(
      'outputs',
      t.samples().map((i) => t.counted(other, i)),
      t.samples().map((i) => t.counted(own, i)),
      near(t.dtype),
    )
    const before = t.gradients(model, t.task.x(t.dtype), t.task.y(t.dtype))
    t.same('gradients', t.gradients(model, x, y), before, near(t.dtype))
    const left = await trained(t, t.task.make(t.dtype), 2)
    t.same('fits', await trained(t, t.task.make(t.dtype), 2, { x: t.x(x) as Tensor, y }), left, near(t.dtype, 200))
    const trainer = new w.MBSGD(model, { loss: t.task.loss, learningRate: 0.1, batchSize: 2 })
    const costs = [(await trainer.evaluate(t.data)).cost, (await trainer.evaluate({ x: t.x(x) as Tensor, y })).cost]
    t.note('costs', farthest([costs[1] as number], [costs[0] as number], near(t.dtype)))
    t.note('cost and its gradient', farthest([before[0]?.item() as number], [costs[0] as number], near(t.dtype)))
    return left
  },

  'one sample as in a batch': (t) => {
    const model = t.task.make(t.dtype).eval()
    const whole = model.predict(t.x() as Tensor)
    for (const i of t.samples()) {
      const alone = model.predict(t.alone(i)).gather(0)
      t.same(`sample ${i}`, [alone], [t.counted(whole, i)], near(t.dtype))
      t.same(`sample ${i} without its axis`, [model.predict(t.alone(i).gather(0))], [alone], near(t.dtype))
    }
    return []
  },

  'by length as all at once': async (t) => {
    if (!t.task.lengths) return []
    const costs: number[] = []
    for (const [batchSize, bucketByLength] of [
      [t.task.m, false],
      [2, true],
    ] as const) {
      const options = { loss: t.task.loss, learningRate: 0.1, batchSize, bucketByLength }
      costs.push((await new w.MBSGD(t.task.make(t.dtype), options).evaluate(t.data)).cost)
    }
    t.note('costs', farthest([costs[1] as number], [costs[0] as number], near(t.dtype)))
    return []
  },

  'saved and resumed': async (t) => {
    const make = (model: w.nn.Module) => new w.MBSGD(model, { loss: t.task.loss, optimizer: t.task.optimizer(), batchSize: 2 })
    const options = { epochs: 2, seed: 6, divergence: false } as const
    const whole = t.task.make(t.dtype)
    await make(whole).fit(t.data, { ...options, epochs: 4 })
    const path = join(folder, 'run.ckpt')
    const first = make(t.task.make(t.dtype))
    await first.fit(t.data, options)
    await first.save(path)
    const model = t.task.make(t.dtype)
    const second = make(model)
    await second.resume(path)
    await second.fit(t.data, options)
    t.same('resumed', stateOf(model), stateOf(whole), 0)
    const copy = w.decodeModel(w.encodeModel(model))
    t.same('saved and loaded', [copy.predict(t.x() as Tensor)], [model.predict(t.x() as Tensor)], 0)
    return []
  },

  'a stepper as the whole sequence': (t) => {
    if (!t.task.causal) return []
    const model = t.task.make(t.dtype).eval()
    const stepper = model.stepper({ maxSteps: 8 })
    for (const i of t.samples()) {
      const x = t.alone(i)
      const T = x.shape[1] as number
      const whole = model.predict(x).gather(0)
      for (let step = 0; step < T; step++) {
        const y = stepper.step(t.task.looksUp ? (x.data[step] as number) : x.gather(0).gather(step))
        if (t.task.everyStep) t.same(`step ${step} of sample ${i}`, [y], [whole.gather(step)], near(t.dtype))
        else if (step === T - 1) t.same(`sample ${i}`, [y], [whole], near(t.dtype))
      }
      stepper.reset()
    }
    return []
  },

  'switched between use and training': (t) => {
    const left = [false, true].map((eager) => {
      const model = t.task.make(t.dtype)
      const whole = eager ? new ReadingSteps(model) : model
      w.seed(t.number)
      const trainer = new w.FBGD(whole, { loss: t.task.loss, optimizer: t.task.optimizer() })
      const { x, y } = t.data
      const seen: Tensor[] = []
      for (const training of [true, false, true, true]) {
        whole.train(training)
        seen.push(w.tensor(trainer.step(x, y)))
        seen.push(model.predict(x).sum())
      }
      return [...seen, ...stateOf(model)]
    }) as [Tensor[], Tensor[]]
    t.same('steps', left[0], left[1], near(t.dtype, 200))
    return left[0]
  },

  'float32 as float64': (t) => {
    const [narrow, wide] = (['float32', 'float64'] as const).map((dtype) => {
      const own = new Trial(t.task, dtype, t.number)
      return t.task.make(dtype).predict(own.x() as Tensor)
    }) as [Tensor, Tensor]
    t.same('predicted', [narrow], [wide], 3e-5)
    return []
  },
}

test.each(Object.keys(demands))(
  `${count} models on ${present.join(' and ')}: %s`,
  { timeout: Math.max(240_000, 10_000 * count) },
  async (name) => {
    const wrong: string[] = []
    for (let number = from; number < from + count && wrong.length < 10; number++) {
      const dtype = number % 2 ? 'float32' : 'float64'
      const task = sequenceTask(number)
      const results: (readonly Tensor[])[] = []
      const found: string[] = []
      for (const engine of present) {
        const trial = new Trial(task, dtype, number)
        try {
          results.push(await during(engine, async () => (demands[name] as (t: Trial) => readonly Tensor[])(trial)))
        } catch (error) {
          trial.wrong.push((error as Error).stack?.split('\n').slice(0, 3).join(' ') ?? '')
        }
        found.push(...trial.wrong.slice(0, 2).map((text) => `${engine}: ${text}`))
      }
      const [first = [], ...others] = results
      for (const other of others)
        other.forEach((t, i) => {
          const difference = apart(t, first[i], near(dtype, 200))
          if (difference) found.push(`engines, value ${i}: ${difference}`)
        })
      if (found.length > 0) wrong.push(`model ${number} (${task.description}, ${dtype}): ${found.slice(0, 3).join('; ')}`)
    }
    expect(wrong).toEqual([])
  },
)
