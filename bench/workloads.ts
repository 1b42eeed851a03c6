/**
 * What is measured. A workload is data: to add one, a line in `workloads`; to add a kind, a case in `run.ts`.
 * All are float32 and plain gradient descent.
 */

export interface Workload {
  name: string
  layers: readonly number[]
  activation: 'relu' | 'sigmoid'
  loss: 'crossEntropy' | 'squaredError'
  batch: number
  /** Of the synthetic set; a multiple of the batch. An engine that is slow is timed on the first of them. */
  samples: number
}

export const workloads: readonly Workload[] = [
  { name: 'W1', layers: [2, 2, 1], activation: 'sigmoid', loss: 'squaredError', batch: 1, samples: 2000 },
  { name: 'W2', layers: [64, 32, 10], activation: 'relu', loss: 'crossEntropy', batch: 1, samples: 2000 },
  { name: 'W3', layers: [64, 32, 10], activation: 'relu', loss: 'crossEntropy', batch: 32, samples: 2048 },
  { name: 'W4', layers: [784, 128, 10], activation: 'relu', loss: 'crossEntropy', batch: 128, samples: 12800 },
  { name: 'W5', layers: [784, 512, 256, 10], activation: 'relu', loss: 'crossEntropy', batch: 128, samples: 5120 },
]

/** Small enough that nothing diverges on random targets, however many updates are made. */
export const learningRate = 0.01

export function titleOf({ layers, activation, batch, loss }: Workload): string {
  const names = { relu: 'ReLU', sigmoid: 'sigmoid', crossEntropy: 'softmax cross-entropy', squaredError: '½ squared error' }
  return `${layers.join('-')} ${names[activation]}, ${names[loss]}, batch ${batch}`
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

export function samplesOf({ layers, loss, samples }: Workload): Samples {
  const next = generator(7)
  const inputs = layers[0] as number
  const outputs = layers[layers.length - 1] as number
  return {
    x: Float32Array.from({ length: samples * inputs }, () => 2 * next() - 1),
    y:
      loss === 'crossEntropy'
        ? Int32Array.from({ length: samples }, () => Math.floor(next() * outputs))
        : Float32Array.from({ length: samples * outputs }, next),
    samples,
  }
}
