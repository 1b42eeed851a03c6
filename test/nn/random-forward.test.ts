/** Random numbers in `forward`: new ones at each run of what was compiled, the same as if it had not been, and resumable. */

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkpoint, FBGD, grad, loss, MBSGD, nn, Random, SGD, seed, setBackend, type Tensor, tensor } from '../../lib/index.js'
import { compile } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { emptyTensor } from '../../lib/tensor/tensor.js'
import { announce, type EngineName, present, using } from '../support/engines.js'

announce('random numbers in forward')

const kinds: Record<string, (rng: Random, n: number) => Tensor> = {
  normal: (rng, n) => rng.normal([n]),
  uniform: (rng, n) => rng.uniform([n], -1, 3),
  permutation: (rng, n) => rng.permutation(n).cast('float32'),
  'normal float64': (rng, n) => rng.normal([n], { dtype: 'float64' }).cast('float32'),
}

/** x plus what is drawn, in every mode. */
class Noise extends nn.Module {
  readonly rng: Random
  constructor(
    seedOf = 7,
    readonly draw = (rng: Random, n: number) => rng.normal([n]),
    readonly wrap = (f: (x: Tensor) => Tensor) => f,
  ) {
    super()
    this.rng = new Random(seedOf)
  }
  override forward(x: Tensor): Tensor {
    return this.wrap((t) => t.add(this.draw(this.rng, t.shape.at(-1) as number).mul(0.1)).add(this.draw(this.rng, 1)))(x)
  }
}

const build = (noise: nn.Module) =>
  new nn.Sequential(new nn.Linear(3, 4, { rng: new Random(1) }), noise, new nn.Tanh(), new nn.Linear(4, 1, { rng: new Random(2) }))
const rng = new Random(11)
const data = { x: rng.normal([24, 3]), y: rng.normal([24, 1]) }
/** Runs an asynchronous body with the engine chosen. */
async function during(name: EngineName, body: () => Promise<void>): Promise<void> {
  setBackend(name)
  try {
    await body()
  } finally {
    setBackend(present.includes('native') ? 'native' : 'js')
  }
}
const bits = (model: nn.Module) => Object.values(model.stateDict()).map((t) => [...t.data])

describe.each(present)('on %s', (engine) => {
  test.each(Object.entries(kinds))('each prediction draws what a call of forward would have drawn: %s', (_, draw) => {
    using(engine, () => {
      const [compiled, called] = [new Noise(3, draw), new Noise(3, draw)]
      const x = tensor([[0, 0, 0, 0, 0]])
      const seen = new Set<string>()
      for (let i = 0; i < 4; i++) {
        const y = compiled.predict(x)
        expect([...y.data]).toEqual([...called.forward(x).data])
        seen.add(String(y.data))
      }
      expect(seen.size).toBeGreaterThan(2)
      const out = new Float32Array(5)
      compiled.predictInto(new Float32Array(5), out, [1, 5])
      expect([...out]).toEqual([...called.forward(x).data])
    })
  })

  test('predictions off the main thread draw anew, too', async () => {
    await during(engine, async () => {
      const [compiled, called] = [new Noise(), new Noise()]
      const x = tensor([[1, 2]])
      for (let i = 0; i < 3; i++) expect([...(await compiled.predictAsync(x)).data]).toEqual([...called.forward(x).data])
    })
  })

  test('a compiled function draws as the function does; a mask is drawn anew at each run', () => {
    using(engine, () => {
      const layer = new nn.Dropout(0.5)
      const run = (f: (x: Tensor) => Tensor, x: Tensor) => {
        const specs = [
          { name: 'x', shape: x.shape, dtype: x.dtype },
          { name: 'y', shape: x.shape, dtype: x.dtype, writable: true },
        ]
        const plan = compile(specs, new StateLayout(), { dtype: 'float32' }, (r) => r.output(1, f(r.input(0))))
        return () => {
          const y = emptyTensor(x.shape, x.dtype)
          plan.run(undefined, [x.data, y.data])
          return [...y.data]
        }
      }
      const x = tensor(new Float32Array(64).fill(1))
      seed(5)
      const masked = run((t) => layer.forward(t), x)
      const masks = [masked(), masked(), masked()]
      expect(new Set(masks.map(String)).size).toBe(3)
      seed(5)
      expect([1, 2, 3].map(() => [...layer.forward(x).data])).toEqual(masks)
      // The recomputation of a checkpoint sees the numbers of its first run.
      const gradient = (generator: Random) => (t: Tensor) =>
        grad((s: Tensor) => checkpoint((u: Tensor) => u.mul(generator.normal([64])).sin())(s).sum())(t)
      const again = run(gradient(new Random(9)), x)
      const plain = new Random(9)
      for (let i = 0; i < 3; i++) {
        const noise = plain.normal([64])
        const [got, expected] = [again(), [...grad((s: Tensor) => s.mul(noise).sin().sum())(x).data]]
        got.forEach((v, k) => {
          expect(Math.abs((v as number) - (expected[k] as number))).toBeLessThan(1e-6)
        })
      }
    })
  })

  test.each([
    ['plain', (f: (x: Tensor) => Tensor) => f],
    ['behind checkpoint', (f: (x: Tensor) => Tensor) => checkpoint(f)],
  ])('every update of every trainer draws anew, and a resumed fit draws the same: %s', async (_, wrap) => {
    await during(engine, async () => {
      const trainers = {
        FBGD: (m: nn.Module) => new FBGD(m, { loss: loss.mse, learningRate: 0.05 }),
        SGD: (m: nn.Module) => new SGD(m, { loss: loss.mse, learningRate: 0.01 }),
        MBSGD: (m: nn.Module) => new MBSGD(m, { loss: loss.mse, learningRate: 0.05, batchSize: 7 }),
      }
      for (const [name, make] of Object.entries(trainers)) {
        const whole = build(new Noise(7, undefined, wrap))
        const eager: string[] = []
        const warned = (w: Error) => eager.push(w.name)
        process.on('warning', warned)
        await make(whole).fit(data, { epochs: 4, seed: 3 })
        await new Promise((resolve) => setImmediate(resolve))
        process.off('warning', warned)
        expect(eager.filter((n) => n === 'WengertEager')).toEqual([])
        const path = join(mkdtempSync(join(tmpdir(), 'noise-')), 'run.ckpt')
        const first = build(new Noise(7, undefined, wrap))
        const t1 = make(first)
        await t1.fit(data, { epochs: 2, seed: 3 })
        await t1.save(path)
        const second = build(new Noise(7, undefined, wrap))
        const t2 = make(second)
        await t2.resume(path)
        await t2.fit(data, { epochs: 2, seed: 3 })
        expect([name, bits(second)]).toEqual([name, bits(whole)])
        const other = build(new Noise(8, undefined, wrap))
        await make(other).fit(data, { epochs: 4, seed: 3 })
        expect(bits(other)).not.toEqual(bits(whole))
      }
    })
  })

  test('the noise of an update is another one each time, and without bias', async () => {
    await during(engine, async () => {
      // The gradient of w·z by w is the noise itself: plain descent adds it up.
      class Walk extends nn.Module {
        w = new nn.Parameter(tensor([0, 0, 0, 0], { dtype: 'float64' }))
        readonly rng = new Random(2)
        override forward(x: Tensor): Tensor {
          return x.mul(this.w.mul(this.rng.normal([4], { dtype: 'float64' })).sum())
        }
      }
      const model = new Walk()
      const trainer = new FBGD(model, { loss: (p) => p.sum(1), learningRate: 1 })
      const one = { x: tensor([[1]], { dtype: 'float64' }), y: tensor([[0]], { dtype: 'float64' }) }
      const steps: number[] = []
      let before = [0, 0, 0, 0]
      for (let i = 0; i < 500; i++) {
        trainer.step(one.x, one.y)
        const now = [...model.w.data] as number[]
        steps.push(...now.map((v, k) => v - (before[k] as number)))
        before = now
      }
      expect(new Set(steps.map((s) => s.toFixed(9))).size).toBe(2000)
      const mean = steps.reduce((a, b) => a + b, 0) / 2000
      const variance = steps.reduce((a, b) => a + b * b, 0) / 2000
      expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(2000))
      expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / 2000))
      const start = [...model.w.data] as number[]
      await trainer.fit(one, { epochs: 500, seed: 1 })
      const moved = ([...model.w.data] as number[]).map((v, k) => (v - (start[k] as number)) / Math.sqrt(500))
      for (const m of moved) expect(Math.abs(m)).toBeLessThan(5)
      expect(moved.some((m) => Math.abs(m) > 0.05)).toBe(true)
    })
  })

  test('every evaluation of a validation set draws anew, within a fit and alone', async () => {
    await during(engine, async () => {
      const trainer = new FBGD(build(new Noise()), { loss: loss.mse, learningRate: 1e-30 })
      const { epochs } = await trainer.fit(data, { epochs: 4, seed: 1, validation: data })
      expect(new Set(epochs.map(({ validation }) => validation?.cost)).size).toBe(4)
      const costs = [await trainer.evaluate(data), await trainer.evaluate(data)].map(({ cost }) => cost)
      expect(costs[0]).not.toBe(costs[1])
    })
  })

  test('a stream and a loss of one’s own draw anew', async () => {
    await during(engine, async () => {
      const model = new nn.Sequential(new nn.Linear(1, 1, { rng: new Random(1) }))
      const generator = new Random(4)
      const noisy = (p: Tensor, t: Tensor) =>
        p
          .sub(t)
          .add(generator.normal([1]))
          .square()
          .mean(1)
      const trainer = new SGD(model, { loss: noisy, learningRate: 1e-30 })
      const costs = Array.from({ length: 20 }, () => trainer.step([[0.5]], [[1]]))
      expect(new Set(costs).size).toBe(20)
      // A stream is a step an item.
      const [stepped, streamed] = [build(new Noise()), build(new Noise())]
      const rows = Array.from({ length: 6 }, (_, i) => ({ x: [0.1 * i, 1, -1], y: [0.2] }))
      seed(1)
      const one = new SGD(stepped, { loss: loss.mse, learningRate: 0.1 })
      for (const { x, y } of rows) one.step([x], [y])
      seed(1)
      await new SGD(streamed, { loss: loss.mse, learningRate: 0.1 }).fitStream(
        (async function* () {
          yield* rows
        })(),
      )
      expect(bits(streamed)).toEqual(bits(stepped))
    })
  })
})

test('both engines draw the same bits', () => {
  if (present.length < 2) {
    console.warn('skipped: both engines draw the same bits: one engine alone is here')
    return
  }
  const results = present.map((engine) =>
    using(engine, () => {
      const generator = new Noise(5)
      const predictions = [1, 2].map(() => [...generator.predict(tensor([[1, 2, 3]])).data])
      // A loss that is a draw of the update, and nothing else.
      const model = new Noise(6)
      const scale = new nn.Sequential(
        model,
        new nn.Linear(3, 3, { bias: false, init: () => tensor(new Float32Array([1, 0, 0, 0, 1, 0, 0, 0, 1]), { shape: [3, 3] }) }),
      )
      seed(9)
      const trainer = new SGD(scale, { loss: (p) => p.sum(1), learningRate: 1e-30 })
      const costs = [1, 2, 3].map(() => trainer.step([[0, 0, 0]], [[0, 0, 0]]))
      return { predictions, costs }
    }),
  )
  expect(results[1]).toEqual(results[0])
})
