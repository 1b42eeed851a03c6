/**
 * What `compile` costs: a training step of 64-32-10 written by hand beside `MBSGD.step` for the same arithmetic, and a call of a
 * program that computes next to nothing. `node dist/bench/compile.js [--json]`; the engine is `WENGERT_BACKEND`'s.
 */

import { parseArgs } from 'node:util'
import { backend, compile, loss, MBSGD, nn, Random, type Tensor, tensor, valueAndGrad } from '../lib/index.js'

const { values: flags } = parseArgs({ options: { json: { type: 'boolean', default: false } } })

const microseconds = (body: () => void, calls: number): number => {
  const start = performance.now()
  for (let i = 0; i < calls; i++) body()
  return (1000 * (performance.now() - start)) / calls
}

/** The least of many short turns, the bodies by turns so that what else the machine does meets all. */
function least(bodies: readonly (() => void)[], calls: number, turns = 60): number[] {
  for (const body of bodies) microseconds(body, calls)
  const best = bodies.map(() => Infinity)
  for (let turn = 0; turn < turns; turn++)
    bodies.forEach((body, i) => {
      best[i] = Math.min(best[i] as number, microseconds(body, calls))
    })
  return best
}

function trainingStep(batch: number) {
  const rng = new Random(1)
  const learningRate = 0.01
  const model = new nn.Sequential(new nn.Linear(64, 32, { rng }), new nn.ReLU(), new nn.Linear(32, 10, { rng }))
  const trainer = new MBSGD(model, { loss: loss.crossEntropy, learningRate, batchSize: batch })
  const x = rng.normal([batch, 64])
  const y = tensor(
    Array.from({ length: batch }, (_, i) => i % 10),
    { dtype: 'int32' },
  )
  type Parameters = { w1: Tensor; b1: Tensor; w2: Tensor; b2: Tensor }
  const cost = ({ w1, b1, w2, b2 }: Parameters, x: Tensor, y: Tensor) => {
    const hidden = x.matmul(w1.transpose()).add(b1).relu()
    return loss.crossEntropy(hidden.matmul(w2.transpose()).add(b2), y)
  }
  const update = (p: Parameters, x: Tensor, y: Tensor) => {
    const [value, g] = valueAndGrad(cost)(p, x, y)
    const down = (w: Tensor, dw: Tensor) => w.sub(dw.mul(learningRate))
    return [value, { w1: down(p.w1, g.w1), b1: down(p.b1, g.b1), w2: down(p.w2, g.w2), b2: down(p.b2, g.b2) }] as const
  }
  const start = (): Parameters => {
    const [w1, b1, w2, b2] = Object.values(model.stateDict()) as [Tensor, Tensor, Tensor, Tensor]
    return { w1, b1, w2, b2 }
  }
  const [fresh, donated] = [compile(update), compile(update, { donate: 0 })]
  let [p, q] = [start(), start()]
  const [own, kept, trained] = least(
    [
      () => {
        p = fresh(p, x, y)[1]
      },
      () => {
        q = donated(q, x, y)[1]
      },
      () => {
        trainer.step(x, y)
      },
    ],
    200,
  ) as [number, number, number]
  return { batch, compiled: own, donated: kept, step: trained, ratio: own / trained, donatedRatio: kept / trained }
}

function smallCall() {
  const x = tensor([1, 2, 3, 4])
  const c = compile((a: Tensor) => a.add(1))
  const [call, eager] = least([() => void c(x), () => void x.add(1)], 2000) as [number, number]
  const arithmetic = c.profile(x).calls.reduce((sum, part) => sum + part.microseconds, 0)
  return { call, arithmetic, overhead: call - arithmetic, eager }
}

const result = { engine: backend().name, steps: [1, 32].map(trainingStep), small: smallCall() }
if (flags.json) console.log(JSON.stringify(result))
else {
  for (const { batch, compiled, donated, step, ratio, donatedRatio } of result.steps)
    console.log(
      `64→32→10, batch ${batch}: compile ${compiled.toFixed(1)} µs, with donate ${donated.toFixed(1)} µs, MBSGD.step ${step.toFixed(1)} µs: ${ratio.toFixed(2)} ×, ${donatedRatio.toFixed(2)} ×`,
    )
  const { call, arithmetic, overhead, eager } = result.small
  console.log(
    `x + 1 of four numbers: ${call.toFixed(2)} µs a call, ${arithmetic.toFixed(2)} µs of it arithmetic, ${overhead.toFixed(2)} µs more (op by op ${eager.toFixed(2)} µs)`,
  )
}
