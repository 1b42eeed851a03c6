/**
 * Adam, written out and compiled: a network of 1-16-16-1 learns the sine, step for step as `MBSGD` with `optim.adam` does.
 *
 * `node dist/examples/adam-by-hand.js [--json]`
 */

import { backend, compile, functionalCall, loss, MBSGD, nn, optim, Random, type Tensor, tensor, valueAndGrad, zeros } from 'wengert'
import { flagsOf } from './output.js'

const { json } = flagsOf('adam-by-hand', 'Learns the sine by an Adam of its own.\n\n  --json   one line of JSON instead\n')

type Parameters = Record<string, Tensor>
interface Adam {
  parameters: Parameters
  m: Parameters
  v: Parameters
}

const network = () => {
  const rng = new Random(1)
  const linear = (from: number, to: number) => new nn.Linear(from, to, { rng, dtype: 'float64' })
  return new nn.Sequential(linear(1, 16), new nn.Tanh(), linear(16, 16), new nn.Tanh(), linear(16, 1))
}
const model = network()
const x = tensor(
  Array.from({ length: 64 }, (_, i) => [(i / 63) * 6 - 3]),
  { dtype: 'float64' },
)
const y = x.sin()

const [learningRate, beta1, beta2, epsilon] = [0.01, 0.9, 0.999, 1e-8]
const mapped = (f: (name: string) => Tensor): Parameters =>
  Object.fromEntries(Object.keys(model.stateDict()).map((name) => [name, f(name)]))
const costOf = (parameters: Parameters, x: Tensor, y: Tensor) => loss.mse(functionalCall(model, parameters, x), y)

/** One update; c₁ and c₂ correct for moments that began at 0. */
const update = ({ parameters, m, v }: Adam, x: Tensor, y: Tensor, c1: Tensor, c2: Tensor) => {
  const [cost, g] = valueAndGrad(costOf)(parameters, x, y)
  const at = (tree: Parameters, name: string) => tree[name] as Tensor
  const m1 = mapped((name) =>
    at(m, name)
      .mul(beta1)
      .add(at(g, name).mul(1 - beta1)),
  )
  const v1 = mapped((name) =>
    at(v, name)
      .mul(beta2)
      .add(
        at(g, name)
          .square()
          .mul(1 - beta2),
      ),
  )
  const next = mapped((name) =>
    at(parameters, name).sub(at(m1, name).div(c1).div(at(v1, name).div(c2).sqrt().add(epsilon)).mul(learningRate)),
  )
  return [cost, { parameters: next, m: m1, v: v1 }] as const
}

// The state is not used after a call, so the next one lies in its memory.
const step = compile(update, { donate: 0 })
const zero = () => mapped((name) => zeros((model.stateDict()[name] as Tensor).shape, { dtype: 'float64' }))
let state: Adam = { parameters: model.stateDict(), m: zero(), v: zero() }
let cost = 0
const updates = 1000
const start = performance.now()
for (let t = 1; t <= updates; t++) {
  const [value, next] = step(state, x, y, 1 - beta1 ** t, 1 - beta2 ** t)
  state = next
  cost = value.item()
}
const microseconds = (1000 * (performance.now() - start)) / updates

// The trainer of the library, from the same start.
const twin = network()
const trainer = new MBSGD(twin, { loss: loss.mse, optimizer: optim.adam({ learningRate }), batchSize: 64 })
let twinCost = 0
for (let t = 1; t <= updates; t++) twinCost = trainer.step(x, y)

if (json) console.log(JSON.stringify({ engine: backend().name, cost, twinCost, programs: step.signatures.length }))
else {
  console.log(`by hand: cost ${cost.toExponential(6)} after ${updates} updates, ${microseconds.toFixed(1)} µs each`)
  console.log(`MBSGD:   cost ${twinCost.toExponential(6)}`)
}
