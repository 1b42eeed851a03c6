/**
 * A generative adversarial network on two moons: the generator's and the discriminator's update are one compiled step, which draws its
 * noise anew at each call.
 *
 * `node dist/examples/gan.js [--json]`
 */

import { backend, compile, functionalCall, grad, loss, nn, ones, pow, Random, sub, type Tensor, tensor, valueAndGrad, zeros } from 'wengert'
import { flagsOf } from './output.js'

const { json } = flagsOf('gan', 'Learns to draw points on two moons.\n\n  --json   one line of JSON instead\n')

const rng = new Random(3)
const [batch, steps] = [128, 2000]

/** Points on two half circles, with a little noise. */
function moons(count: number): Float32Array {
  const angles = rng.uniform([count], 0, Math.PI).data
  const noise = rng.normal([count, 2]).data
  return Float32Array.from({ length: 2 * count }, (_, i) => {
    const [k, y] = [i >> 1, i % 2 === 1]
    const [angle, upper] = [angles[k] as number, k % 2 === 0]
    const place = y ? (upper ? Math.sin(angle) - 0.25 : 0.25 - Math.sin(angle)) : upper ? Math.cos(angle) - 0.5 : 0.5 - Math.cos(angle)
    return place + 0.05 * (noise[i] as number)
  })
}

const mlp = (from: number, to: number) =>
  new nn.Sequential(
    new nn.Linear(from, 48, { rng }),
    new nn.LeakyReLU(),
    new nn.Linear(48, 48, { rng }),
    new nn.LeakyReLU(),
    new nn.Linear(48, to, { rng }),
  )
const [generator, discriminator] = [mlp(4, 2), mlp(2, 1)]

type Parameters = Record<string, Tensor>
/** Parameters with Adam's moments. */
interface Player {
  p: Parameters
  m: Parameters
  v: Parameters
}

const mapped = (tree: Parameters, f: (x: Tensor, name: string) => Tensor): Parameters =>
  Object.fromEntries(Object.entries(tree).map(([name, x]) => [name, f(x, name)]))
const player = (model: nn.Module): Player => {
  const p = model.stateDict()
  const zero = () => mapped(p, (x) => zeros(x.shape))
  return { p, m: zero(), v: zero() }
}

/** Adam with β₁ = 0.5, as is usual for such games; its rate falls to 0. */
function adam({ p, m, v }: Player, g: Parameters, t: Tensor, rate: number): Player {
  const [b1, b2] = [0.5, 0.99]
  const m1 = mapped(m, (x, name) => x.mul(b1).add((g[name] as Tensor).mul(1 - b1)))
  const v1 = mapped(v, (x, name) => x.mul(b2).add((g[name] as Tensor).square().mul(1 - b2)))
  const factor = sub(1, pow(b2, t))
    .sqrt()
    .div(sub(1, pow(b1, t)))
    .mul(rate)
    .mul(sub(1, t.div(steps + 1)))
  return { p: mapped(p, (x, name) => x.sub((m1[name] as Tensor).mul(factor).div((v1[name] as Tensor).sqrt().add(1e-8)))), m: m1, v: v1 }
}

const judge = (d: Parameters, x: Tensor) => functionalCall(discriminator, d, x)
const draw = (g: Parameters, count: number) => functionalCall(generator, g, rng.normal([count, 4]))

const step = compile(
  (d: Player, g: Player, real: Tensor, t: Tensor) => {
    const [yes, no] = [ones([batch, 1]), zeros([batch, 1])]
    const [cost, gradient] = valueAndGrad((p: Parameters) =>
      loss.bceWithLogits(judge(p, real), yes.mul(0.9)).add(loss.bceWithLogits(judge(p, draw(g.p, batch)), no)),
    )(d.p)
    const nextD = adam(d, gradient, t, 1e-3)
    // The generator against the discriminator as it is now.
    const against = grad((p: Parameters) => loss.bceWithLogits(judge(nextD.p, draw(p, batch)), yes))(g.p)
    return [cost, nextD, adam(g, against, t, 1e-3)] as const
  },
  { donate: [0, 1] },
)

let [d, g] = [player(discriminator), player(generator)]
let cost = 0
for (let t = 1; t <= steps; t++) {
  const [value, nextD, nextG] = step(d, g, tensor(moons(batch), { shape: [batch, 2] }), t)
  ;[d, g] = [nextD, nextG]
  cost = value.item()
}

// How far drawn points are from the nearest true one, and how many are nearest to the upper moon.
const truth = moons(1000)
const points = draw(g.p, 500).data
let distance = 0
let upper = 0
for (let i = 0; i < 500; i++) {
  let [best, nearest] = [Infinity, 0]
  for (let k = 0; k < 1000; k++) {
    const apart = Math.hypot(
      (points[2 * i] as number) - (truth[2 * k] as number),
      (points[2 * i + 1] as number) - (truth[2 * k + 1] as number),
    )
    if (apart < best) [best, nearest] = [apart, k]
  }
  distance += best / 500
  upper += nearest % 2 === 0 ? 1 / 500 : 0
}

if (json) console.log(JSON.stringify({ engine: backend().name, cost, distance, upper, programs: step.signatures.length }))
else {
  console.log(`${steps} steps, the discriminator's cost ${cost.toFixed(3)} (${(2 * Math.LN2).toFixed(3)} where it can only guess)`)
  console.log(
    `drawn points are ${distance.toFixed(3)} from the nearest true one on average; ${(100 * upper).toFixed(0)} % lie on the upper moon`,
  )
}
