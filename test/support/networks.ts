/** The networks and data of the golden training runs, made by the same formulas as in scripts/golden/training.py. */

import { loss, nn, tensor } from '../../lib/index.js'
import type { Loss } from '../../lib/nn/loss-contract.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import type { FloatDtype } from '../../lib/util/dtype.js'
import { sizeOf } from '../../lib/util/shape.js'

const pattern = (n: number, factor: number, modulus: number, scale: number): number[] =>
  Array.from({ length: n }, (_, i) => (((i * factor) % modulus) - Math.floor(modulus / 2)) / scale)

export interface Task {
  model: nn.Sequential
  x: Tensor
  y: Tensor
  loss: Loss
  learningRate: number
}

const definitions = {
  example31: {
    widths: [2, 2, 1] as const,
    learningRate: 0.25,
    start: [[0.15, 0.2, 0.25, 0.3], [0.35, 0.35], [0.4, 0.45], [0.6]],
    x: () => [0.05, 0.1, ...pattern(38, 29, 61, 32)],
    y: (dtype: FloatDtype) => tensor([0.01, ...pattern(19, 17, 31, 32)], { shape: [20, 1], dtype }),
    activation: () => new nn.Sigmoid(),
    loss: loss.squaredError as Loss,
  },
  digits: {
    widths: [64, 32, 10] as const,
    learningRate: 0.125,
    start: [pattern(2048, 7919, 257, 1024), pattern(32, 31, 61, 512), pattern(320, 6151, 251, 512), pattern(10, 7, 11, 256)],
    x: () => pattern(320 * 64, 10007, 509, 256),
    y: () => tensor(Int32Array.from({ length: 320 }, (_, i) => (i * i + 3 * i) % 10)),
    activation: () => new nn.ReLU(),
    loss: loss.crossEntropy as Loss,
  },
}

export type NetworkName = keyof typeof definitions

/** A fresh model at the golden start, with its data. */
export function task(name: NetworkName, dtype: FloatDtype): Task {
  const d = definitions[name]
  const [i, h, o] = d.widths
  const model = new nn.Sequential(new nn.Linear(i, h, { dtype }), d.activation(), new nn.Linear(h, o, { dtype }))
  model.parameters().forEach((p, k) => {
    p.assign(tensor(d.start[k] as number[], { shape: p.shape, dtype }))
  })
  const values = d.x()
  const x = tensor(values, { shape: [values.length / i, i], dtype })
  return { model, x, y: d.y(dtype), loss: d.loss, learningRate: d.learningRate }
}

/** Parameters as the golden file keeps them: of large weights every seventh element. */
export const sampled = (p: Tensor): number[] => Array.from(p.data).filter((_, i) => sizeOf(p.shape) <= 1000 || i % 7 === 0)
