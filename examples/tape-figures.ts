/**
 * Tapes as figures: the graph of ln x₁ + x₁x₂ − sin x₂ (Figures 3.13 and 3.14), and Example 3.1's whole training step.
 *
 * `node dist/examples/tape-figures.js [--out docs/figures]`
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { linear, loss, nn, type Tensor, tensor, trace, valueAndGrad } from 'wengert'

const { values: flags } = parseArgs({ options: { out: { type: 'string', default: 'docs/figures' } } })

const running = trace((x1: Tensor, x2: Tensor) => x1.log().add(x1.mul(x2)).sub(x2.sin()), 2, 5)

const f64 = { dtype: 'float64' } as const
const weights = {
  W1: tensor([[0.15, 0.2], [0.25, 0.3]], f64), // biome-ignore format: a matrix
  b1: tensor([0.35, 0.35], f64),
  W2: tensor([[0.4, 0.45]], f64),
  b2: tensor([0.6], f64),
}
type Weights = typeof weights
const cost = ({ W1, b1, W2, b2 }: Weights, x: Tensor, y: Tensor) => loss.squaredError(linear(linear(x, W1, b1).sigmoid(), W2, b2), y)

/** One step of gradient descent: the new weights. */
function step(w: Weights, x: Tensor, y: Tensor): Record<string, Tensor> {
  const [J, g] = valueAndGrad(cost)(w, x, y)
  const moved = Object.entries(w).map(([name, value]) => [name, value.sub(g[name as keyof Weights].mul(0.5))])
  return { J, ...Object.fromEntries(moved) }
}
const training = trace(step, weights, tensor([[0.05, 0.1]], f64), tensor([[0.01]], f64))

const network = new nn.Sequential(new nn.Linear(2, 2, f64), new nn.Sigmoid(), new nn.Linear(2, 1, f64))
network.loadStateDict({ '0.weight': weights.W1, '0.bias': weights.b1, '2.weight': weights.W2, '2.bias': weights.b2 })

mkdirSync(flags.out, { recursive: true })
const figures = {
  'tape-values': await running.toSvg(),
  'tape-tangents': await running.toSvg({ tangents: [1, 0] }),
  'tape-adjoints': await running.toSvg({ adjoints: true }),
  'tape-training-step': await training.toSvg({ direction: 'TB' }),
  network: network.toSvg({ sample: [0.05, 0.1] }),
}
for (const [name, svg] of Object.entries(figures)) {
  const path = join(flags.out, `${name}.svg`)
  writeFileSync(path, svg)
  console.log(path)
}
