/**
 * A Kalman filter whose noise is learned: the likelihood of a track is a `scan` over its measurements, and Newton's method climbs it by
 * the gradient and the Hessian that differentiation gives.
 *
 * `node dist/examples/kalman-filter.js [--json]`
 */

import { backend, grad, hessian, Random, scan, type Tensor, tensor } from 'wengert'
import { flagsOf, table } from './output.js'

const { json } = flagsOf('kalman-filter', 'Learns the noise of a track and of its measurements.\n\n  --json   one line of JSON instead\n')

// A body moves with a velocity that wanders; its position is measured. State: [position, velocity].
const f64 = (values: number[] | number[][]) => tensor(values, { dtype: 'float64' })
const F = f64([
  [1, 1],
  [0, 1],
])
const Q = f64([
  [1 / 3, 1 / 2],
  [1 / 2, 1],
])
const truth = { motion: 0.02, measurement: 4 }
const steps = 200

const rng = new Random(1)
const measured = new Float64Array(steps)
let [position, velocity] = [0, 0]
for (let t = 0; t < steps; t++) {
  const [a, b, c] = rng.normal([3], { dtype: 'float64' }).toArray<number[]>() as [number, number, number]
  // The Cholesky factor of Q: [[1/√3, 0], [√3/2, 1/2]].
  const scale = Math.sqrt(truth.motion)
  position += velocity + (scale * a) / Math.sqrt(3)
  velocity += scale * ((Math.sqrt(3) / 2) * a + b / 2)
  measured[t] = position + Math.sqrt(truth.measurement) * c
}

/** −log p(measurements) a measurement, by the logarithms of both noises. */
const cost = (logNoise: Tensor): Tensor => {
  const [q, r] = [logNoise.slice(0).exp(), logNoise.slice(1).exp()]
  const filter = ({ x, P }: { x: Tensor; P: Tensor }, y: Tensor) => {
    const ahead = F.matmul(x)
    const spread = F.matmul(P).matmul(F.transpose()).add(Q.mul(q))
    const surprise = y.sub(ahead.slice(0))
    const S = spread.slice(0, 0).add(r)
    const gain = spread.slice(null, 0).div(S)
    const next = { x: ahead.add(gain.mul(surprise)), P: spread.sub(gain.reshape([2, 1]).mul(spread.slice([0, 1]))) }
    return [next, surprise.square().div(S).add(S.log())] as const
  }
  const start = {
    x: f64([0, 0]),
    P: f64([
      [1, 0],
      [0, 1],
    ]).mul(100),
  }
  const [, terms] = scan(filter, start, tensor(measured))
  return terms
    .mean()
    .add(Math.log(2 * Math.PI))
    .mul(0.5)
}

let logNoise = f64([0, 0])
const rows: { cost: number; motion: number; measurement: number }[] = []
for (let i = 0; i < 15; i++) {
  const [motion, measurement] = logNoise.exp().toArray<number[]>() as [number, number]
  rows.push({ cost: cost(logNoise).item(), motion, measurement })
  const [g, h] = grad(cost)(logNoise).toArray<number[]>() as [number, number]
  const [[a, b], [, d]] = hessian(cost)(logNoise).toArray<number[][]>() as [[number, number], [number, number]]
  if (Math.hypot(g, h) < 1e-10) break
  // A step downhill also where the curve bends the other way: the diagonal is raised until the matrix is positive.
  let more = 0
  while ((a + more) * (d + more) - b * b < 1e-4 || a + more < 1e-3) more = 2 * more + 0.05
  const det = (a + more) * (d + more) - b * b
  const step = [((d + more) * g - b * h) / det, ((a + more) * h - b * g) / det] as const
  // Far from the valley the second order says little: no step is longer than 1.
  const length = Math.max(1, Math.hypot(...step))
  logNoise = logNoise.sub(f64([step[0] / length, step[1] / length]))
}

if (json) {
  console.log(JSON.stringify({ engine: backend().name, truth, rows }))
} else {
  const digits = (x: number) => x.toFixed(4)
  console.log(
    table([
      ['step', 'cost', 'noise of the motion', 'of the measurements'],
      ...rows.map((r, i) => [`${i}`, digits(r.cost), digits(r.motion), digits(r.measurement)]),
    ]),
  )
  console.log(`\nthe track was made with ${truth.motion} and ${truth.measurement}`)
}
