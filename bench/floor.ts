/**
 * The floor: the matrix products of an update and nothing else, through the same engine, BLAS and threads. No gather, no
 * bias, no activation, no loss. For each layer with weights [n, k] and a batch of m rows:
 *
 *   forward             z[m,n] = a[m,k] · Wᵀ
 *   gradient and update W[n,k] ← W − ε · dzᵀ · a      one accumulating product
 *   input gradient      da[m,k] = dz[m,n] · W         not for the first layer, where nobody needs it
 *
 * ε is so small that the weights stay what they are. At a batch of 1 the products are GEMVs and GERs, as in the step.
 */

import type { Backend } from '../lib/backend/backend.js'
import { type Program, type Slot, type Step, spaces } from '../lib/backend/program.js'
import type { Contestant } from './measure.js'
import { generator } from './workloads.js'

export interface FloorOptions {
  dtype?: 'float32' | 'float64'
  /** A prediction's: the products of the forward pass alone. */
  forwardOnly?: boolean
}

/** The program, with the lengths of its inputs (activations and gradients) and of its weights. */
export function floorProgram(
  layers: readonly number[],
  m: number,
  { dtype = 'float32', forwardOnly = false }: FloorOptions = {},
): { program: Program; inputs: number[]; weights: number } {
  const element = dtype === 'float32' ? 4 : 8
  const bytes = (length: number): number => 64 * Math.ceil((element * length) / 64)
  const slots: Slot[] = []
  const steps: Step[] = []
  const inputs: number[] = []
  let arenaBytes = 0
  let stateBytes = 0
  const slot = (space: number, offset: number, length: number) => slots.push({ space, offset, length, dtype }) - 1
  /** Operands are inputs, so that their values are ordinary numbers whatever the arena holds. */
  const operand = (length: number) => slot(spaces.inputs + inputs.push(length) - 1, 0, length)
  const scratch = (length: number) => {
    arenaBytes += bytes(length)
    return slot(spaces.arena, arenaBytes - bytes(length), length)
  }
  const stored = (length: number) => {
    stateBytes += bytes(length)
    return slot(spaces.state, stateBytes - bytes(length), length)
  }
  const product = (
    out: number,
    a: number,
    b: number,
    sizes: [m: number, n: number, k: number],
    transposed: [number, number],
    scalars: [number, number],
  ) => steps.push({ kernel: 'matmul', ints: [1, ...sizes, ...transposed, 0, 0], scalars, outputs: [out], inputs: [a, b] })

  const parts = layers.slice(1).map((n, l) => {
    const k = layers[l] as number
    return { n, k, weight: stored(n * k), a: operand(m * k), dz: operand(m * n) }
  })
  for (const { n, k, weight, a } of parts) product(scratch(m * n), a, weight, [m, n, k], [0, 1], [1, 0])
  for (const [l, { n, k, weight, a, dz }] of forwardOnly ? [] : [...parts.entries()].reverse()) {
    if (l > 0) product(scratch(m * k), dz, weight, [m, k, n], [0, 0], [1, 0])
    product(weight, dz, a, [n, k, m], [1, 0], [-1e-12, 1])
  }
  return {
    program: {
      dtype,
      arenaBytes,
      stateBytes,
      report: 0,
      inputs: inputs.map((length, i) => ({ name: `operand ${i}`, dtype, length, advance: 0 })),
      slots,
      steps,
      atomic: true,
    },
    inputs,
    weights: stateBytes / element,
  }
}

/** The floor of a network at a batch size, on an engine. */
export function floor(backend: Backend, layers: readonly number[], batch: number, options: FloorOptions = {}): Contestant {
  const { program, inputs, weights } = floorProgram(layers, batch, options)
  const next = generator(11)
  const random = (length: number) => {
    const values = options.dtype === 'float64' ? new Float64Array(length) : new Float32Array(length)
    for (let i = 0; i < length; i++) values[i] = 2 * next() - 1
    return values
  }
  const state = backend.createState(program.stateBytes, [])
  state.write(0, random(weights))
  const runner = backend.createRunner(state, [backend.compile(program)], inputs.map(random))
  return {
    name: 'floor',
    async run(updates) {
      const start = performance.now()
      const { runs } = await runner.run({ epochs: 1, segments: [{ program: 0, repeat: updates }], windows: {} })
      return { updates: runs, seconds: (performance.now() - start) / 1000 }
    },
    close: () => runner.close(),
  }
}
