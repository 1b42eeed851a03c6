/** Attention and what is built of it against PyTorch's: outputs, all gradients, trajectories of 20 updates, a state dict; blocks against the whole. */

import { describe, expect, test } from 'vitest'
import {
  compile,
  functionalCall,
  loadParameters,
  loss,
  MBSGD,
  matmul,
  nn,
  optim,
  Random,
  scaledDotProductAttention,
  softmax,
  type Tensor,
  tensor,
  vjp,
} from '../../lib/index.js'
import { announce, during, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { pattern } from '../support/pattern.js'
import { farthest } from '../support/tolerance.js'

announce('golden attention')

type Dtype = 'float32' | 'float64'
interface FunctionCase {
  shapes: [number[], number[], number[]]
  options: { mask?: 'bool' | 'float'; shape?: number[]; causal?: boolean; scale?: number }
  value: Numbers
  gradients: Numbers[]
}
interface LayerCase {
  layer: 'MultiheadAttention' | 'cross' | 'apart' | 'sizes' | 'TransformerEncoderLayer' | 'TransformerDecoderLayer' | 'TransformerDecoder'
  options: nn.TransformerOptions & nn.MultiheadAttentionOptions
  inputs: { causal?: boolean; lengths?: number[]; memoryLengths?: number[]; mask?: boolean }
  names: string[]
  value: Numbers
  gradients: Numbers[]
}
interface Other {
  name: 'RMSNorm' | 'rotary' | 'SinusoidalPositions' | 'LearnedPositions' | 'CausalConv1d'
  shape: number[]
  value: Numbers
  gradients: Numbers[]
}
interface Updates {
  model: 'Encoder' | 'Decoder'
  norm: boolean
  optimizer: 'sgd' | 'adam'
  names: string[]
  costs: Numbers
  parameters: Numbers[]
}
const { functions, layers, others, updates, saved } = golden<{
  functions: FunctionCase[]
  layers: LayerCase[]
  others: Other[]
  updates: Updates[]
  saved: { value: Numbers }
}>('attention')
const [M, T, S, E, H] = [2, 3, 4, 4, 2]

/** True where a query may look, as in the script. */
function holes(shape: readonly number[]): Tensor {
  const last = shape.at(-1) as number
  const size = shape.reduce((a, b) => a * b, 1)
  return tensor(
    Int32Array.from({ length: size }, (_, i) => (i % last === 0 || (i * 7) % 5 !== 0 ? 1 : 0)),
    { shape },
  ).cast('bool')
}
function filled<L extends nn.Module>(model: L, dtype: Dtype): L {
  model.parameters().forEach((p, k) => {
    p.assign(pattern(p.shape, 7 + 2 * k, 32, dtype))
  })
  return model
}
const makers: Record<Other['name'], (dtype: Dtype) => nn.Module | undefined> = {
  RMSNorm: (dtype) => new nn.RMSNorm(4, { eps: 1e-5, dtype }),
  rotary: () => undefined,
  SinusoidalPositions: () => new nn.SinusoidalPositions(6),
  LearnedPositions: (dtype) => new nn.LearnedPositions(5, 4, { dtype }),
  CausalConv1d: (dtype) => new nn.CausalConv1d(3, 4, 3, { dilation: 2, dtype }),
}
/** Reads memories of several lengths, and gives an output a step. */
class Decoder extends nn.Module {
  readonly decoder: nn.TransformerDecoder
  readonly linear: nn.Linear
  constructor(norm: boolean, dtype: Dtype) {
    super()
    const options = { dimFeedforward: 3, dropout: 0, normFirst: norm, causal: true, dtype } as const
    const layer = () => new nn.TransformerDecoderLayer(E, H, { ...options, activation: norm ? 'gelu' : 'relu' })
    this.decoder = new nn.TransformerDecoder(layer, 2, norm ? { norm: new nn.LayerNorm(E, { dtype }) } : {})
    this.linear = new nn.Linear(E, 2, { dtype })
  }
  override forward({ x, memory, counts }: { x: Tensor; memory: Tensor; counts: Tensor }): Tensor {
    return this.linear.forward(this.decoder.forward(x, memory, { memoryLengths: counts }))
  }
}
const encoder = (norm: boolean, dtype: Dtype) =>
  new nn.TransformerEncoder(
    () => new nn.TransformerEncoderLayer(E, H, { dimFeedforward: 3, dropout: 0, activation: 'gelu', normFirst: norm, dtype }),
    2,
    norm ? { norm: new nn.LayerNorm(E, { dtype }) } : {},
  )

for (const engine of present) {
  describe.each([
    ['float32', 1e-5],
    ['float64', 1e-10],
  ] as const)(`${engine} engine, %s`, (dtype, tolerance) => {
    const given = (shape: readonly number[], factor: number, scale?: number) => pattern(shape, factor, scale, dtype)

    /** Compares f and its gradients by all of `inputs`. */
    function compare(f: (all: Tensor[]) => Tensor, inputs: Tensor[], c: { value: Numbers; gradients: Numbers[] }): void {
      using(engine, () => {
        const [y, pullback] = vjp(f, inputs)
        const [gradients] = pullback(given(y.shape, 13, 8)) as [Tensor[]]
        const found = [farthest(y.data, numbers(c.value), tolerance)]
        expect(gradients.length).toBe(c.gradients.length)
        gradients.forEach((g, i) => {
          found.push(farthest(g.data, numbers(c.gradients[i] as Numbers), tolerance))
        })
        expect(found.filter(Boolean)).toEqual([])
      })
    }

    test.each(functions.map((c) => [`${c.shapes.join(' / ')} ${JSON.stringify(c.options)}`, c] as const))('function: %s', (_title, c) => {
      const { mask, shape, ...options } = c.options
      const inputs = c.shapes.map((s, i) => given(s, 11 + 2 * i, 8))
      if (mask === 'float') inputs.push(given(shape as number[], 5, 8))
      const fixed = mask === 'bool' ? holes(shape as number[]) : undefined
      compare(
        ([q, k, v, m]) => scaledDotProductAttention(q as Tensor, k as Tensor, v as Tensor, { ...options, mask: m ?? fixed }),
        inputs,
        c,
      )
    })

    test.each(layers.map((c) => [`${c.layer} ${JSON.stringify(c.options)} ${JSON.stringify(c.inputs)}`, c] as const))(
      'layer: %s',
      (_title, c) => {
        const kind = c.layer
        const options = { dimFeedforward: 3, dropout: 0, ...c.options, dtype }
        const make = (): nn.Module => {
          if (kind === 'TransformerEncoderLayer' || kind === 'TransformerDecoderLayer') return new nn[kind](E, H, options)
          if (kind !== 'TransformerDecoder') return new nn.MultiheadAttention(E, H, { ...c.options, dtype })
          const norm = c.options.normFirst ? { norm: new nn.LayerNorm(E, { dtype }) } : {}
          return new nn.TransformerDecoder(new nn.TransformerDecoderLayer(E, H, options), 2, norm)
        }
        const layer = filled(make(), dtype)
        expect(layer.namedParameters().map(([name]) => name)).toEqual(c.names)
        const decodes = kind === 'TransformerDecoderLayer' || kind === 'TransformerDecoder'
        const { kdim, vdim } = c.options
        const memories =
          kind === 'sizes'
            ? [given([M, S, kdim as number], 17, 8), given([M, S, vdim as number], 19, 8)]
            : kind === 'cross' || kind === 'apart' || decodes
              ? [given([M, S, E], 17, 8)]
              : []
        const inputs = { ...c.inputs, mask: c.inputs.mask ? holes([T, T]) : undefined }
        compare(
          ([x, ...more]) => {
            const [memory = x, other] = more.splice(0, memories.length) as Tensor[]
            const named = Object.fromEntries(more.map((v, i) => [c.names[i] as string, v]))
            const call = (...args: unknown[]) => functionalCall(layer as nn.Module, named, ...(args as [Tensor])) as Tensor
            if (kind === 'TransformerEncoderLayer') return call(x, inputs)
            if (decodes) return call(x, memory, inputs)
            return call(x, memory, other ?? (kind === 'apart' ? (memory as Tensor).mul(2) : memory), inputs)
          },
          [given([M, T, E], 11, 8), ...memories, ...layer.parameters().map((p) => p.resolve())],
          c,
        )
      },
    )

    test.each(others.map((c) => [c.name, c] as const))('%s', (name, c) => {
      const made = makers[name](dtype)
      const layer = made && filled(made, dtype)
      const names = layer?.namedParameters().map(([n]) => n) ?? []
      compare(
        ([x, ...weights]) => {
          if (!layer) return nn.rotary(x as Tensor)
          return functionalCall(layer, Object.fromEntries(weights.map((w, i) => [names[i] as string, w])), x as Tensor) as Tensor
        },
        [given(c.shape, 11, 8), ...(layer?.parameters().map((p) => p.resolve()) ?? [])],
        c,
      )
    })

    test.each(updates.map((u) => [`${u.model}, ${u.norm ? 'normalised first, Adam' : 'normalised afterwards, descent'}`, u] as const))(
      '20 updates: %s',
      async (_title, u) => {
        await during(engine, async () => {
          const decodes = u.model === 'Decoder'
          const whole = decodes
            ? new Decoder(u.norm, dtype)
            : new nn.Sequential(encoder(u.norm, dtype), new nn.MeanOverTime(), new nn.Linear(E, 2, { dtype }))
          const model = filled<nn.Module>(whole, dtype)
          const pytorch = decodes ? u.names : u.names.map((name) => name.replace('encoder', '0').replace(/^linear/, '2'))
          expect(model.namedParameters().map(([name]) => name)).toEqual(pytorch)
          const optimizer =
            u.optimizer === 'sgd' ? optim.gradientDescent({ learningRate: 0.1 }) : optim.adam({ learningRate: 0.01, eps: 1e-3 })
          const trainer = new MBSGD(model, { loss: loss.mse, optimizer, batchSize: 6 })
          const costs: number[] = []
          const [x, memory] = [given([6, T, E], 11, 8), given([6, S, E], 17, 8)]
          const counts = tensor(Int32Array.of(4, 1, 3, 2, 4, 2))
          const data = decodes ? { x: { x, memory, counts }, y: given([6, T, 2], 3, 16) } : { x, y: given([6, 2], 3, 16) }
          await trainer.fit(data, { epochs: 20, seed: 1, onEpoch: ({ cost }) => void costs.push(cost) })
          expect(farthest(costs, numbers(u.costs), tolerance)).toBe('')
          const found = model.parameters().map((p, i) => farthest(p.data, numbers(u.parameters[i] as Numbers), 10 * tolerance))
          expect(found.filter(Boolean)).toEqual([])
        })
      },
    )

    test('scores in blocks are those of one piece, with their gradients, eagerly and in a program', () => {
      using(engine, () => {
        const rng = new Random(3)
        // Groups of sequences; blocks of queries, the last one short; both.
        for (const [B, t, s] of [
          [6, 150, 150],
          [1, 301, 300],
          [2, 270, 260],
        ] as const) {
          const [q, k, v] = [t, s, s].map((n) => rng.normal([B, n, 4], { dtype })) as [Tensor, Tensor, Tensor]
          const g = rng.normal([B, t, 4], { dtype })
          const rows = tensor(Int32Array.from({ length: t }, (_, i) => i)).reshape([t, 1])
          const columns = tensor(Int32Array.from({ length: s }, (_, i) => i))
          const some = holes([B, t, s])
          const hidden = columns.lessEqual(rows).logicalAnd(some)
          const both = (f: (q: Tensor, k: Tensor, v: Tensor) => Tensor) => (q: Tensor, k: Tensor, v: Tensor) => {
            const [y, pullback] = vjp(f, q, k, v)
            return [y, ...(pullback(g) as Tensor[])]
          }
          const expected = both((a, b, c) => {
            const scores = matmul(a.mul(0.5), b.transpose([0, 2, 1]))
            return matmul(softmax(scores.where(hidden, -1e30), -1), c)
          })(q, k, v)
          const f = both((a, b, c) => scaledDotProductAttention(a, b, c, { mask: some, causal: true, scale: 0.5 }))
          const close = dtype === 'float32' ? 1e-5 : 1e-12
          for (const found of [f(q, k, v), compile(f)(q, k, v)])
            expect(found.map((y, i) => farthest(y.data, (expected[i] as Tensor).data, close))).toEqual(['', '', '', ''])
        }
      })
    })
  })
}

test('a state dict of PyTorch predicts the same', async () => {
  for (const engine of present) {
    await during(engine, async () => {
      const model = new nn.Sequential(encoder(true, 'float32'), new nn.MeanOverTime(), new nn.Linear(E, 2))
      await loadParameters(model, new URL('../golden/attention.safetensors', import.meta.url).pathname)
      const x = pattern([6, T, E], 11, 8, 'float32')
      expect(farthest(model.predict(x).data, numbers(saved.value), 1e-5)).toBe('')
      expect(farthest(model.predict(x.gather(2)).data, numbers(saved.value).slice(4, 6), 1e-5)).toBe('')
    })
  }
})
