/**
 * What a loop costs in a program: a linear recurrence of 16 states with its gradient beside plain loops in C++, the time of compiling
 * at two lengths, and an LSTM written by hand on `scan` (forward and gradient). `node dist/bench/loops.js [--json] [--describe]`;
 * PyTorch beside it: `python3 bench/peers/lstm.py`.
 */

import { parseArgs } from 'node:util'
import { backend, compile, Random, scan, type Tensor, valueAndGrad, zeros } from '../lib/index.js'
import { recurrenceFloor } from './floor/floor.js'

const { values: flags } = parseArgs({
  options: { json: { type: 'boolean', default: false }, describe: { type: 'boolean', default: false } },
})

const microseconds = (body: () => void, calls: number): number => {
  const start = performance.now()
  for (let i = 0; i < calls; i++) body()
  return (1000 * (performance.now() - start)) / calls
}

/** The least of some turns, by turns so that what else the machine does meets all. */
function least(bodies: readonly (() => void)[], calls: number, turns = 20): number[] {
  for (const body of bodies) microseconds(body, calls)
  const best = bodies.map(() => Infinity)
  for (let turn = 0; turn < turns; turn++)
    bodies.forEach((body, i) => {
      best[i] = Math.min(best[i] as number, microseconds(body, calls))
    })
  return best
}

const rng = new Random(1)

/** hₜ₊₁ = A hₜ + xₜ, the cost Σ h², and its gradient by A, h₀ and x. */
function recurrence(length: number, states: number) {
  const a = rng.normal([states, states]).mul(0.5 / Math.sqrt(states))
  const xs = rng.normal([length, states])
  const h = rng.normal([states])
  const step = compile(
    valueAndGrad(
      (a: Tensor, h: Tensor, xs: Tensor) => {
        const [, hs] = scan(
          (h: Tensor, x: Tensor) => {
            const next = a.matmul(h).add(x)
            return [next, next] as const
          },
          h,
          xs,
        )
        return hs.square().sum()
      },
      { argnums: [0, 1, 2] },
    ),
  )
  if (flags.describe) console.log(step.describe(a, h, xs))
  const plain = recurrenceFloor(a.data as Float32Array, h.data as Float32Array, xs.data as Float32Array)
  const bodies = [() => void step(a, h, xs), ...(plain ? [() => void plain(1)] : [])]
  const [own, floor] = least(bodies, 10) as [number, number | undefined]
  return { length, states, microseconds: own, floor, ratio: floor === undefined ? undefined : own / floor }
}

/** The time of recording and compiling a recurrence, in milliseconds, at each length by turns. */
function compiling(lengths: readonly number[]) {
  const a = rng.normal([16, 16]).mul(0.1)
  const h = zeros([16])
  const rows = lengths.map((length) => rng.normal([length, 16]))
  const once = (xs: Tensor) => {
    const f = compile(
      valueAndGrad((a: Tensor, h: Tensor, xs: Tensor) => scan((h, x) => [a.matmul(h).add(x).tanh(), undefined] as const, h, xs)[0].sum()),
    )
    return () => void f.describe(a, h, xs)
  }
  const best = lengths.map(() => Infinity)
  for (let turn = 0; turn < 60; turn++)
    rows.forEach((xs, i) => {
      best[i] = Math.min(best[i] as number, microseconds(once(xs), 1) / 1000)
    })
  return { lengths, milliseconds: best, ratio: (best.at(-1) as number) / (best[0] as number) }
}

/** An LSTM by hand, its gates in PyTorch's order: the cost Σ h², and the gradient by the weights. */
function lstm(inputs: number, hidden: number, length: number, batch: number) {
  const bound = 1 / Math.sqrt(hidden)
  const uniform = (...shape: number[]) => rng.uniform(shape, -bound, bound)
  const weights = { ih: uniform(4 * hidden, inputs), hh: uniform(4 * hidden, hidden), bias: uniform(4 * hidden) }
  const xs = rng.normal([length, batch, inputs])
  const step = compile(
    valueAndGrad((w: typeof weights, xs: Tensor) => {
      const first = { h: zeros([batch, hidden]), c: zeros([batch, hidden]) }
      const [, hs] = scan(
        ({ h, c }: typeof first, x: Tensor) => {
          const gates = x.matmul(w.ih.transpose()).add(h.matmul(w.hh.transpose())).add(w.bias)
          const gate = (k: number) => gates.slice(null, [k * hidden, (k + 1) * hidden])
          const cell = gate(1)
            .sigmoid()
            .mul(c)
            .add(gate(0).sigmoid().mul(gate(2).tanh()))
          const out = gate(3).sigmoid().mul(cell.tanh())
          return [{ h: out, c: cell }, out] as const
        },
        first,
        xs,
      )
      return hs.square().sum()
    }),
  )
  if (flags.describe) console.log(step.describe(weights, xs))
  const [own] = least([() => void step(weights, xs)], 1, 60) as [number]
  if (flags.describe) console.log(String(step.profile(weights, xs)))
  return { inputs, hidden, length, batch, milliseconds: own / 1000 }
}

const result = { engine: backend().name, recurrence: recurrence(1000, 16), compiling: compiling([10, 10_000]), lstm: lstm(16, 128, 50, 32) }
if (flags.json) console.log(JSON.stringify(result))
else {
  const { recurrence: r, compiling: c, lstm: l } = result
  const beside = r.floor === undefined ? '' : `, C++ ${r.floor.toFixed(0)} µs: ${(r.ratio as number).toFixed(2)} ×`
  console.log(`${r.length} steps of ${r.states} states with gradient (${result.engine}): ${r.microseconds.toFixed(0)} µs${beside}`)
  console.log(
    `compiling at ${c.lengths.join(' and ')} steps: ${c.milliseconds.map((ms) => ms.toFixed(2)).join(' and ')} ms: ${c.ratio.toFixed(3)} ×`,
  )
  console.log(`LSTM ${l.inputs} → ${l.hidden}, ${l.length} steps, batch ${l.batch}, forward and gradient: ${l.milliseconds.toFixed(2)} ms`)
}
