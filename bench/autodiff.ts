/**
 * The costs of differentiation: a long tape, the gradient beside its function for many inputs, a Hessian-vector product beside
 * the gradient of a network, the gradients of each sample beside that of their mean. `node dist/bench/autodiff.js [--json] [--chain]` (the eager chain alone); the engine is `WENGERT_BACKEND`'s.
 */

import { parseArgs } from 'node:util'
import { backend, grad, hvp, linear, loss, Random, type Tensor, tensor, valueAndGrad, vmap } from '../lib/index.js'
import { compile } from '../lib/plan/plan.js'
import { StateLayout } from '../lib/plan/state-layout.js'
import { allocate, type TypedArray } from '../lib/util/dtype.js'

const { values: flags } = parseArgs({ options: { json: { type: 'boolean', default: false }, chain: { type: 'boolean', default: false } } })

/** Seconds of one call: the least of `turns` samples, each of so many calls that it lasts. */
function seconds(body: () => void, turns = 7, least = 0.05): number {
  let calls = 1
  for (;;) {
    const start = performance.now()
    for (let i = 0; i < calls; i++) body()
    const taken = (performance.now() - start) / 1000
    if (taken >= least) break
    calls = Math.ceil(calls * Math.min(10, Math.max(2, (1.2 * least) / Math.max(taken, 1e-6))))
  }
  const samples = Array.from({ length: turns }, () => {
    const start = performance.now()
    for (let i = 0; i < calls; i++) body()
    return (performance.now() - start) / 1000 / calls
  })
  return Math.min(...samples)
}

/** A tape of n entries, applied one by one; microseconds an entry of function and gradient. */
function longTape(n: number) {
  const chain = (x: Tensor) => {
    let y = x
    for (let i = 0; i < n; i += 2) y = y.sin().mul(1.0001)
    return y
  }
  const x = tensor(0.5, { dtype: 'float64' })
  const [f, g] = [seconds(() => chain(x), 5), seconds(() => grad(chain)(x), 5)]
  return { entries: n, functionMicroseconds: (1e6 * f) / n, gradientMicroseconds: (1e6 * g) / n, ratio: g / f }
}

/** The chain x ← 1.01 tanh x, a thousand times over 8 elements, applied one by one; microseconds an operation of value and gradient. */
function eagerChain() {
  const repeats = 1000
  const chain = (x: Tensor) => {
    let y = x
    for (let i = 0; i < repeats; i++) y = y.tanh().mul(1.01)
    return y.sum()
  }
  const x = new Random(3).uniform([8], -1, 1)
  const [f, both] = [seconds(() => chain(x), 40, 0.01), seconds(() => valueAndGrad(chain)(x), 40, 0.01)]
  const operations = 2 * repeats
  return { operations, valueMicroseconds: (1e6 * f) / operations, bothMicroseconds: (1e6 * both) / operations }
}

/** Programs over `inputs` and one output each, as functions to call. */
function replayed(inputs: readonly Tensor[], build: (...args: Tensor[]) => Tensor[], like: readonly Tensor[]): () => void {
  const specs = [
    ...inputs.map((x, i) => ({ name: `x${i}`, shape: x.shape, dtype: x.dtype })),
    ...like.map((y, i) => ({ name: `y${i}`, shape: y.shape, dtype: y.dtype, writable: true })),
  ]
  const plan = compile(specs, new StateLayout(), { dtype: 'float32' }, (r) => {
    build(...inputs.map((_, i) => r.input(i))).forEach((y, i) => {
      r.output(inputs.length + i, y)
    })
  })
  const arrays: TypedArray[] = [...inputs.map((x) => x.data), ...like.map((y) => allocate(y.dtype, y.size))]
  return () => plan.run(undefined, arrays)
}

/** A scalar function of n inputs, replayed: y = Σ sin(x)·x + e^(−x²). */
function manyInputs(n: number) {
  const f = (x: Tensor) => x.sin().mul(x).add(x.square().neg().exp()).sum()
  const x = new Random(1).normal([n])
  const one = seconds(replayed([x], (t) => [f(t)], [tensor(0)]))
  const both = seconds(replayed([x], (t) => valueAndGrad(f)(t), [tensor(0), x]))
  return { inputs: n, functionMicroseconds: 1e6 * one, gradientMicroseconds: 1e6 * both, ratio: both / one }
}

/** A network of 99,978 parameters on a batch of 64: its gradient and its Hessian times a vector, replayed and op by op. */
function hessianVector() {
  const sizes = [256, 256, 128, 10]
  const rng = new Random(2)
  const draw = (scale: number) =>
    sizes.slice(1).flatMap((n, i) => [rng.normal([n, sizes[i] as number]).mul(scale), rng.normal([n]).mul(scale)])
  const weights = draw(0.1)
  const direction = draw(1)
  const x = rng.normal([64, 256])
  const labels = tensor(Int32Array.from({ length: 64 }, (_, i) => i % 10))
  const cost = (p: Tensor[]) => {
    let a = x
    for (let l = 0; l < 3; l++) {
      const z = linear(a, p[2 * l] as Tensor, p[2 * l + 1])
      a = l < 2 ? z.tanh() : z
    }
    return loss.crossEntropy(a, labels)
  }
  const parts = (given: Tensor[]): [Tensor[], Tensor[]] => [given.slice(0, 6), given.slice(6)]
  const gradient = seconds(
    replayed(weights, (...p) => grad(cost)(p), weights),
    5,
  )
  const product = seconds(
    replayed([...weights, ...direction], (...all) => hvp(cost, ...parts(all)) as Tensor[], weights),
    5,
  )
  const eager = { gradient: seconds(() => grad(cost)(weights), 5), product: seconds(() => hvp(cost, weights, direction), 5) }
  return {
    parameters: weights.reduce((n, w) => n + w.size, 0),
    gradientMicroseconds: 1e6 * gradient,
    hvpMicroseconds: 1e6 * product,
    ratio: product / gradient,
    eagerRatio: eager.product / eager.gradient,
  }
}

/** 64-32-10 on a batch of 256: the gradient of each sample by `vmap` beside the gradient of the mean, replayed and op by op. */
function perSample() {
  const [sizes, batch] = [[64, 32, 10], 256]
  const rng = new Random(4)
  const weights = sizes.slice(1).flatMap((n, i) => [rng.normal([n, sizes[i] as number]).mul(0.1), rng.normal([n])])
  const x = rng.normal([batch, 64])
  const labels = tensor(Int32Array.from({ length: batch }, (_, i) => i % 10))
  const cost = ([w, b, v, c]: Tensor[], inputs: Tensor, classes: Tensor) =>
    loss.crossEntropy(linear(linear(inputs, w as Tensor, b).relu(), v as Tensor, c), classes)
  const one = (p: Tensor[], s: Tensor, label: Tensor) => cost(p, s.expandDims(0), label.expandDims(0))
  const each = vmap(grad(one), { inAxes: [null, 0, 0] })
  const mean = grad(cost)
  const eager = { mean: seconds(() => mean(weights, x, labels), 9), each: seconds(() => each(weights, x, labels), 9) }
  const given = [...weights, x, labels]
  const parts = (all: Tensor[]): [Tensor[], Tensor, Tensor] => [all.slice(0, 4), all[4] as Tensor, all[5] as Tensor]
  const stacks = each(weights, x, labels)
  const replay = {
    mean: seconds(
      replayed(given, (...all) => mean(...parts(all)), weights),
      9,
    ),
    each: seconds(
      replayed(given, (...all) => each(...parts(all)), stacks),
      9,
    ),
  }
  return {
    batch,
    meanMicroseconds: 1e6 * replay.mean,
    eachMicroseconds: 1e6 * replay.each,
    ratio: replay.each / replay.mean,
    eager: { meanMicroseconds: 1e6 * eager.mean, eachMicroseconds: 1e6 * eager.each, ratio: eager.each / eager.mean },
  }
}

if (flags.chain) {
  console.log(JSON.stringify(eagerChain()))
  process.exit()
}
longTape(1e4) // warms the code
const chain = eagerChain()
const tapes = [1e3, 1e4, 1e5].map(longTape)
const inputs = [10, 100, 1e3, 1e4, 1e5, 1e6].map(manyInputs)
const network = hessianVector()
const samples = perSample()
if (flags.json) console.log(JSON.stringify({ engine: backend().name, chain, tapes, inputs, network, samples }))
else {
  const us = (x: number) => x.toPrecision(3).padStart(9)
  console.log(`engine: ${backend().name}\n\na tape applied op by op (µs an entry)`)
  for (const t of tapes)
    console.log(
      `${String(t.entries).padStart(8)} entries  function ${us(t.functionMicroseconds)}  gradient ${us(t.gradientMicroseconds)}  ratio ${t.ratio.toFixed(2)}`,
    )
  console.log(
    `\n1.01 tanh x, a thousand times, 8 elements, op by op (µs an operation; bound: 5)\n${String(chain.operations).padStart(8)} operations  value ${us(chain.valueMicroseconds)}  value and gradient ${us(chain.bothMicroseconds)}`,
  )
  console.log('\na gradient beside its function, replayed (µs a call; bound: ratio 5)')
  for (const t of inputs)
    console.log(
      `${String(t.inputs).padStart(8)} inputs   function ${us(t.functionMicroseconds)}  gradient ${us(t.gradientMicroseconds)}  ratio ${t.ratio.toFixed(2)}`,
    )
  console.log(
    `\nHessian times a vector, ${network.parameters} parameters, batch 64 (µs a call; bound: ratio 6)\n` +
      `          replayed  gradient ${us(network.gradientMicroseconds)}  hvp ${us(network.hvpMicroseconds)}  ratio ${network.ratio.toFixed(2)}; op by op: ratio ${network.eagerRatio.toFixed(2)}`,
  )
  console.log(
    `\nthe gradient of each sample by vmap, 64-32-10, batch ${samples.batch}, beside that of the mean (µs a call; bound: ratio 4)\n` +
      `          replayed  mean ${us(samples.meanMicroseconds)}  each ${us(samples.eachMicroseconds)}  ratio ${samples.ratio.toFixed(2)}; ` +
      `op by op  mean ${us(samples.eager.meanMicroseconds)}  each ${us(samples.eager.eachMicroseconds)}  ratio ${samples.eager.ratio.toFixed(2)}`,
  )
}
