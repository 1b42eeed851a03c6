/**
 * Gradient descent as figures: good, small and large rates; steps over contour lines; two starts, two minima; a saddle on
 * which the full batch stays and single samples and small batches leave (Figures 3.17 and 3.18).
 *
 * `node dist/examples/gradient-descent-figures.js [--json] [--out docs/figures]`
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { backend, FBGD, MBSGD, minimize, nn, optim, type Path, SGD, type Tensor, tensor } from 'wengert'
import { colours, figure, Panel, type Point } from './charts.js'
import { flagsOf } from './output.js'

const { json, out = 'docs/figures' } = flagsOf(
  'gradient-descent-figures',
  'Draws gradient descent: rates, a valley, two minima, a saddle.\n\n  --json           one line of JSON on the saddle instead of the paths\n  --out <folder>   where the figures are written; docs/figures by default\n',
)

const inOne = (path: Path): Point[] => path.points.map((p, i) => [p.item(), path.values[i] as number])
const inTwo = (path: Path): Point[] => path.points.map((p) => [p.data[0] as number, p.data[1] as number])

/** w ← w − α df/dw on f(w) = (w − 1)², from w = −1.5. */
function rates(): string {
  const f = (w: Tensor) => w.sub(1).square()
  const panel = (title: string, learningRate: number, colour: string) => {
    const path = minimize(f, -1.5, { learningRate, steps: 20 })
    const end = path.diverged ? 'diverged' : path.converged ? 'converged' : `after ${path.points.length - 1} steps`
    return new Panel({ title, x: [-3, 5], y: [0, 16], xLabel: 'w', yLabel: 'f(w)' })
      .curve((w) => (w - 1) ** 2, colours.faint)
      .steps(inOne(path), colour, `α = ${learningRate}: ${end}`)
  }
  return figure(panel('A good rate', 0.3, colours.green), panel('Too small', 0.01, colours.blue), panel('Too large', 1.05, colours.red))
}

/** f(x, y) = ½x² + 4y²: plain steps zigzag where the valley is steep, momentum carries them along it. */
function valley(): string {
  const f = (w: Tensor) => w.slice(0).square().mul(0.5).add(w.slice(1).square().mul(4))
  const plain = (learningRate: number) => minimize(f, [-4, 1.5], { learningRate, steps: 60 })
  const heavy = minimize(f, [-4, 1.5], { optimizer: optim.gradientDescent({ learningRate: 0.05, momentum: 0.8 }), steps: 60 })
  const panel = (title: string, path: Path, colour: string, label: string) =>
    new Panel({ title, x: [-5, 3], y: [-2, 2], xLabel: 'x', yLabel: 'y' })
      .contour((x, y) => 0.5 * x * x + 4 * y * y, [0.25, 1, 2, 4, 6, 9, 12, 16, 20])
      .steps(inTwo(path), colour, label)
  return figure(
    panel('A small rate', plain(0.05), colours.blue, 'α = 0.05'),
    panel('A larger one', plain(0.23), colours.red, 'α = 0.23'),
    panel('With momentum', heavy, colours.green, 'α = 0.05, momentum 0.8'),
  )
}

/** f(w) = (w² − 1)² + 0.2 w has two minima. */
function minima(): string {
  const f = (w: Tensor) => w.square().sub(1).square().add(w.mul(0.2))
  const from = (start: number) => inOne(minimize(f, start, { learningRate: 0.04, steps: 200 }))
  return figure(
    new Panel({ title: 'Two starts, two minima', x: [-1.6, 1.6], y: [-0.4, 2], xLabel: 'w', yLabel: 'f(w)' })
      .curve((w) => (w * w - 1) ** 2 + 0.2 * w, colours.faint)
      .steps(from(-0.1), colours.blue, 'from −0.1: the lower one')
      .steps(from(0.2), colours.red, 'from 0.2: the higher one'),
  )
}

/** Two weights as a model: every sample's prediction is the point itself. */
class Place extends nn.Module {
  w = new nn.Parameter(tensor([1.6, 0], { dtype: 'float64' }))
  override forward(x: Tensor): Tensor {
    return this.w.reshape([1, 2]).broadcastTo([x.shape[0] as number, 2])
  }
}

/** Samples that pull y with ±c and leave the mean alone: J(x, y) = x² − y² + ½y⁴ is flat at (0, 0), no sample's loss is. */
const pulls = [-0.6, 0.6, -0.3, 0.3]
const height = (x: number, y: number) => x * x - y * y + y ** 4 / 2
const surface = (place: Tensor, pull: Tensor): Tensor => {
  const [x, y] = [place.slice(null, 0), place.slice(null, 1)]
  return x.square().sub(y.square()).add(y.square().square().mul(0.5)).add(pull.reshape(y.shape).mul(y))
}

async function saddle() {
  const column = tensor(
    pulls.map((c) => [c]),
    { dtype: 'float64' },
  )
  const learningRate = 0.05
  const walk = async (make: (model: Place) => FBGD | SGD | MBSGD, epochs: number): Promise<Point[]> => {
    const model = new Place()
    const place = (): Point => [model.w.data[0] as number, model.w.data[1] as number]
    const points = [place()]
    await make(model).fit({ x: column, y: column }, { epochs, seed: 4, onEpoch: () => void points.push(place()) })
    return points
  }
  const full = await walk((m) => new FBGD(m, { loss: surface, learningRate }), 120)
  const single = await walk((m) => new SGD(m, { loss: surface, learningRate }), 30)
  const batches = await walk((m) => new MBSGD(m, { loss: surface, learningRate, batchSize: 3 }), 60)
  const section = new Panel({ title: 'Along y, at x = 0', x: [-1.4, 1.4], y: [-1.2, 1.2], xLabel: 'y', yLabel: 'cost' })
  for (const c of pulls) section.curve((y) => height(0, y) + c * y, colours.faint, undefined, true)
  section.curve((y) => height(0, y), colours.ink, 'the mean: flat at 0')
  section.curve((y) => height(0, y) + (pulls[0] as number) * y, colours.violet, 'single samples: not flat', true)
  const map = (title: string, points: Point[], colour: string, label: string) =>
    new Panel({ title, x: [-1.8, 1.8], y: [-1.6, 1.6], xLabel: 'x', yLabel: 'y' })
      .contour(height, [-0.48, -0.4, -0.25, -0.1, 0, 0.15, 0.4, 0.8, 1.3, 2])
      .steps(points, colour, label)
  const svg = figure(
    section,
    map('Full batch: stays on the saddle', full, colours.red, `FBGD, ${full.length - 1} updates`),
    map('One sample at a time: leaves', single, colours.blue, `SGD, ${4 * (single.length - 1)} updates`),
    map('Batches of 3 and 1: leaves', batches, colours.green, `MBSGD, ${2 * (batches.length - 1)} updates`),
  )
  const end = (points: Point[]) => points[points.length - 1] as Point
  return { svg, ends: { FBGD: end(full), SGD: end(single), MBSGD: end(batches) } }
}

const { svg, ends } = await saddle()
mkdirSync(out, { recursive: true })
const figures = { 'descent-rates': rates(), 'descent-valley': valley(), 'descent-minima': minima(), 'descent-saddle': svg }
for (const [name, text] of Object.entries(figures)) {
  const path = join(out, `${name}.svg`)
  writeFileSync(path, text)
  if (!json) console.log(path)
}
if (json) console.log(JSON.stringify({ engine: backend().name, figures: Object.keys(figures), ends }))
