/**
 * REINFORCE on CartPole, written out: a pole on a cart is to be kept upright by pushes to the left or right. The policy acts in sixteen
 * worlds at once and is updated after each round; choosing and learning are a compiled function each.
 *
 * `node dist/examples/cartpole.js [--json]`
 */

import { backend, compile, functionalCall, loss, nn, pow, Random, sub, type Tensor, tensor, valueAndGrad, zeros } from 'wengert'
import { flagsOf } from './output.js'

const { json } = flagsOf('cartpole', 'Learns to balance a pole.\n\n  --json   one line of JSON instead\n')

const [worlds, longest, discount, rate] = [16, 200, 0.99, 0.01]
const rng = new Random(7)
const policy = new nn.Sequential(new nn.Linear(4, 32, { rng }), new nn.Tanh(), new nn.Linear(32, 2, { rng }))

/** Barto, Sutton and Anderson's equations, by Euler's method: position, speed, angle, its speed. */
function push(state: Float32Array, at: number, right: boolean): boolean {
  const [x, dx, angle, da] = state.subarray(at, at + 4) as unknown as [number, number, number, number]
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)]
  const term = ((right ? 10 : -10) + 0.05 * da * da * sine) / 1.1
  const dda = (9.8 * sine - cosine * term) / (0.5 * (4 / 3 - (0.1 * cosine * cosine) / 1.1))
  const ddx = term - (0.05 * dda * cosine) / 1.1
  state.set([x + 0.02 * dx, dx + 0.02 * ddx, angle + 0.02 * da, da + 0.02 * dda], at)
  return Math.abs(state[at] as number) <= 2.4 && Math.abs(state[at + 2] as number) <= (12 * Math.PI) / 180
}

type Parameters = Record<string, Tensor>
interface Learner {
  p: Parameters
  m: Parameters
  v: Parameters
}
const mapped = (tree: Parameters, f: (x: Tensor, name: string) => Tensor): Parameters =>
  Object.fromEntries(Object.entries(tree).map(([name, x]) => [name, f(x, name)]))

/** An action for each world, drawn with the policy's probabilities. */
const choose = compile((p: Parameters, states: Tensor) => {
  const right = functionalCall(policy, p, states).softmax(1).slice([0, worlds], [1, 2])
  return rng.uniform([worlds, 1]).less(right)
})

/** One step of Adam down −Σ weight · ln π(action | state). */
const learn = compile(
  ({ p, m, v }: Learner, states: Tensor, actions: Tensor, weights: Tensor, t: Tensor) => {
    const [cost, g] = valueAndGrad((q: Parameters) =>
      loss
        .crossEntropy(functionalCall(policy, q, states), actions, { reduction: 'none' })
        .mul(weights)
        .sum(),
    )(p)
    const m1 = mapped(m, (x, name) => x.mul(0.9).add((g[name] as Tensor).mul(0.1)))
    const v1 = mapped(v, (x, name) => x.mul(0.999).add((g[name] as Tensor).square().mul(0.001)))
    const factor = sub(1, pow(0.999, t))
      .sqrt()
      .div(sub(1, pow(0.9, t)))
      .mul(rate)
    const next = mapped(p, (x, name) => x.sub((m1[name] as Tensor).mul(factor).div((v1[name] as Tensor).sqrt().add(1e-8))))
    return [cost, { p: next, m: m1, v: v1 }] as const
  },
  { donate: 0 },
)

/** Rewards to go of each step less their mean, over their deviation; 0 for steps after the fall. */
function advantages(lengths: readonly number[]): Float32Array {
  const weights = new Float32Array(longest * worlds)
  const found: number[] = []
  lengths.forEach((length, world) => {
    for (let t = length - 1, toGo = 0; t >= 0; t--) {
      toGo = 1 + discount * toGo
      weights[t * worlds + world] = toGo
      found.push(toGo)
    }
  })
  const mean = found.reduce((a, b) => a + b) / found.length
  const deviation = Math.sqrt(found.reduce((sum, x) => sum + (x - mean) ** 2, 0) / found.length)
  return weights.map((x, i) =>
    Math.floor(i / worlds) < (lengths[i % worlds] as number) ? (x - mean) / (deviation + 1e-6) / found.length : 0,
  )
}

const p = policy.stateDict()
let learner: Learner = { p, m: mapped(p, (x) => zeros(x.shape)), v: mapped(p, (x) => zeros(x.shape)) }
const means: number[] = []
const rounds = 80
for (let round = 1; round <= rounds; round++) {
  const state = Float32Array.from(rng.uniform([worlds, 4], -0.05, 0.05).data)
  const states = new Float32Array(longest * worlds * 4)
  const actions = new Int32Array(longest * worlds)
  const lengths = new Array<number>(worlds).fill(0)
  const up = new Array<boolean>(worlds).fill(true)
  for (let t = 0; t < longest && up.includes(true); t++) {
    states.set(state, t * worlds * 4)
    const chosen = choose(learner.p, tensor(state, { shape: [worlds, 4] })).data
    for (let world = 0; world < worlds; world++) {
      if (!up[world]) continue
      actions[t * worlds + world] = chosen[world] as number
      lengths[world] = t + 1
      up[world] = push(state, 4 * world, chosen[world] === 1)
    }
  }
  const [, next] = learn(learner, tensor(states, { shape: [longest * worlds, 4] }), actions, advantages(lengths), round)
  learner = next
  means.push(lengths.reduce((a, b) => a + b) / worlds)
}

const last = means.slice(-10).reduce((a, b) => a + b) / 10
if (json)
  console.log(
    JSON.stringify({ engine: backend().name, first: means[0], last, programs: [choose.signatures.length, learn.signatures.length] }),
  )
else {
  for (let i = 9; i < rounds; i += 10)
    console.log(`round ${`${i + 1}`.padStart(3)}: the pole stays up for ${(means[i] as number).toFixed(0)} steps of ${longest}`)
  console.log(`${last.toFixed(0)} steps on average over the last ten rounds`)
}
