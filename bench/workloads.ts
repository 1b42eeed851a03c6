/**
 * What is measured. A workload is data: to add one, a line in `workloads`; to add a kind, a case in `contestants.ts`.
 * All are plain gradient descent in float32; `variants` names what is measured besides.
 */

export type Variant = 'sgd' | 'adam' | 'float64'

/**
 * What one measured unit is: an update within a fit (of many), a whole fit with all of its preparation, an update of a stream
 * that feeds one sample at a time, or one prediction.
 */
export type Kind = 'update' | 'fit' | 'stream' | 'prediction'

/**
 * A part of a network of images, signals or sequences, as every contestant reads it: a convolution with its window and options, pooling
 * that does not overlap, an addition of what its parts make of their input; a recurrent layer, one step of a sequence or the mean of
 * them, transformer layers (gelu, without dropout).
 */
export type Stage =
  | readonly ['conv', channels: number, window: number, options?: { padding?: number; groups?: number }]
  | readonly ['pool', window: number]
  | readonly ['dense', outputs: number]
  | readonly ['relu' | 'batchNorm' | 'globalAvg' | 'flatten']
  | readonly ['residual', stages: readonly Stage[]]
  | readonly ['lstm' | 'gru', units: number]
  | readonly ['last' | 'mean']
  | readonly ['encoder', layers: number, heads: number, units: number]

export interface Workload {
  name: string
  kind: Kind
  /** Of a network of images, signals or sequences: the shape of a sample, channels first or [T, features], and its parts; `layers` are then inputs and outputs. */
  image?: readonly number[]
  stages?: readonly Stage[]
  title?: string
  layers: readonly number[]
  activation: 'relu' | 'sigmoid' | 'tanh'
  /** Whether the last layer is followed by the activation too. */
  activeOutput?: boolean
  loss: 'crossEntropy' | 'squaredError'
  /** Samples an update. */
  batch: number
  /** All samples an update, in the trainer's own chunks (FBGD). */
  full?: boolean
  /** Of the synthetic set; a multiple of the batch. An engine that is slow is timed on the first of them. */
  samples: number
  /** Of a whole fit. */
  epochs?: number
  variants?: readonly Variant[]
  /** Whether the peak of memory is measured, in a process of its own. */
  memory?: boolean
}

const digits = { activation: 'relu', loss: 'crossEntropy' } as const
const tiny = { activation: 'sigmoid', activeOutput: true, loss: 'squaredError', batch: 1 } as const

/** Of images and signals: the outputs are 10 classes. */
function images(name: string, batch: number, image: readonly number[], title: string, stages: readonly Stage[]): Workload {
  const inputs = image.reduce((a, b) => a * b)
  return { name, kind: 'update', layers: [inputs, 10], ...digits, batch, samples: 8 * batch, image, stages, title }
}
/** Of sequences: `classes` outputs. */
const sequences = (
  name: string,
  batch: number,
  sample: readonly number[],
  title: string,
  stages: readonly Stage[],
  classes = 10,
): Workload => ({
  ...images(name, batch, sample, title, [...stages, ['dense', classes]]),
  layers: [sample.reduce((a, b) => a * b), classes],
  ...(name === 'W13b' && { memory: true }),
})
const [relu, batchNorm, globalAvg, flatten, out] = [['relu'], ['batchNorm'], ['globalAvg'], ['flatten'], ['dense', 10]] as const
const conv3 = (channels: number): Stage => ['conv', channels, 3, { padding: 1 }]
const conv9 = (channels: number): Stage => ['conv', channels, 9, { padding: 4 }]

// biome-ignore format: a table
export const workloads: readonly Workload[] = [
  { name: 'W0', kind: 'fit', layers: [2, 3, 1], ...tiny, samples: 4, epochs: 20_000 },
  { name: 'W1', kind: 'update', layers: [2, 2, 1], ...tiny, samples: 2000 },
  { name: 'W2', kind: 'update', layers: [64, 32, 10], ...digits, batch: 1, samples: 2000 },
  { name: 'W3', kind: 'update', layers: [64, 32, 10], ...digits, batch: 32, samples: 2048 },
  { name: 'W4', kind: 'update', layers: [784, 128, 10], ...digits, batch: 128, samples: 12_800, variants: ['float64'] },
  { name: 'W5', kind: 'update', layers: [784, 512, 256, 10], ...digits, batch: 128, samples: 5120, variants: ['adam', 'float64'] },
  { name: 'W6', kind: 'update', layers: [1024, 1024, 1024, 1024, 10], ...digits, batch: 256, samples: 2560 },
  { name: 'W7', kind: 'update', layers: [64, 64, 1], activation: 'tanh', loss: 'squaredError', batch: 100_000, full: true, samples: 100_000, memory: true },
  { name: 'W8', kind: 'stream', layers: [64, 32, 10], ...digits, batch: 1, samples: 2000 },
  images('W9', 64, [1, 28, 28], '[conv 3×3, ReLU, pool 2] of 8 and 16', [['conv', 8, 3], relu, ['pool', 2], ['conv', 16, 3], relu, ['pool', 2], flatten, out]),
  { name: 'W10', kind: 'prediction', layers: [784, 128, 10], ...digits, batch: 1, samples: 64 },
  images('W11', 32, [3, 32, 32], '[conv 3×3, ReLU]² and pool 2 of 32 and 64, dense 128', [conv3(32), relu, conv3(32), relu, ['pool', 2], conv3(64), relu, conv3(64), relu, ['pool', 2], flatten, ['dense', 128], relu, out]),
  sequences('W12a', 32, [50, 16], 'LSTM 16→128 over 50 steps, last step', [['lstm', 128], ['last']]),
  sequences('W12b', 8, [30, 8], 'LSTM 8→32 over 30 steps, last step', [['lstm', 32], ['last']], 4),
  sequences('W12c', 32, [50, 16], 'GRU 16→128 over 50 steps, last step', [['gru', 128], ['last']]),
  sequences('W13a', 32, [64, 64], '2 transformer layers of 64, 4 heads, 256 units over 64 steps, mean', [['encoder', 2, 4, 256], ['mean']]),
  sequences('W13b', 16, [128, 256], '4 transformer layers of 256, 8 heads, 1024 units over 128 steps, mean', [['encoder', 4, 8, 1024], ['mean']]),
  images('W15', 32, [4, 512], '[conv 9, ReLU, pool 4] of 32 and 64', [conv9(32), relu, ['pool', 4], conv9(64), relu, ['pool', 4], flatten, out]),
  images('DWS', 32, [3, 32, 32], 'conv 3×3 of 32, depthwise 3×3 and pointwise 64 with batch norm', [conv3(32), relu, ['conv', 32, 3, { padding: 1, groups: 32 }], batchNorm, relu, ['conv', 64, 1], batchNorm, relu, globalAvg, out]),
  images('RES8', 32, [3, 32, 32], 'conv 3×3 of 16, a residual block of two with batch norm', [conv3(16), batchNorm, relu, ['residual', [conv3(16), batchNorm, relu, conv3(16), batchNorm]], relu, globalAvg, out]),
]

/** Small enough that nothing diverges on random targets, however many updates are made. */
export const learningRate = 0.01

/** Adam's step is as long as its rate, whatever the gradient. */
export const adamRate = 1e-4

/** XOR's four samples are learnt by a fit at this rate. */
export const xorRate = 0.5

export const rateOf = ({ kind }: Workload): number => (kind === 'fit' ? xorRate : learningRate)

/** Updates of one measured unit. */
export const updatesOf = ({ kind, samples, batch, epochs = 1 }: Workload): number => (kind === 'fit' ? (samples / batch) * epochs : 1)

export function titleOf({ kind, layers, activation, batch, loss, full, epochs, image, title }: Workload): string {
  const names = { relu: 'ReLU', sigmoid: 'sigmoid', tanh: 'tanh', crossEntropy: 'softmax cross-entropy', squaredError: '½ squared error' }
  if (image) return `${image.join('×')}: ${title}, dense ${layers[1]}, ${names[loss]}, batch ${batch}`
  const network = `${layers.join('-')} ${names[activation]}`
  if (kind === 'prediction') return `${network}, one prediction from typed array to typed array`
  if (kind === 'stream') return `${network}, ${names[loss]}, one sample at a time from an async iterator`
  if (kind === 'fit') return `XOR: ${network}, ${names[loss]}, batch ${batch}, one fit of ${epochs?.toLocaleString('en')} epochs`
  return `${network}, ${names[loss]}, ${full ? `full batch of ${batch.toLocaleString('en')}` : `batch ${batch}`}`
}

/** A synthetic set: x uniform in [−1, 1), labels or targets at random. Row-major; the same for every engine. */
export interface Samples {
  x: Float32Array
  /** Class indices for crossEntropy, targets [samples, outputs] for squaredError. */
  y: Int32Array | Float32Array
  samples: number
}

/** xorshift32, for samples and orders: uniform in [0, 1). */
export function generator(seed: number): () => number {
  let state = seed | 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 4294967296
  }
}

export function samplesOf({ kind, layers, loss, samples }: Workload): Samples {
  if (kind === 'fit') return { x: Float32Array.of(0, 0, 0, 1, 1, 0, 1, 1), y: Float32Array.of(0, 1, 1, 0), samples }
  const next = generator(7)
  const inputs = layers[0] as number
  const outputs = layers[layers.length - 1] as number
  const fill = <T extends Float32Array | Int32Array>(array: T, value: () => number): T => {
    for (let i = 0; i < array.length; i++) array[i] = value()
    return array
  }
  return {
    x: fill(new Float32Array(samples * inputs), () => 2 * next() - 1),
    y:
      loss === 'crossEntropy'
        ? fill(new Int32Array(samples), () => Math.floor(next() * outputs))
        : fill(new Float32Array(samples * outputs), next),
    samples,
  }
}
