/**
 * What takes part in a workload: the library on both engines, as a user calls it, plain loops, and the floor. To add a kind
 * of workload: a case in `product`, `plain` and `floorOf`.
 */

import { type BackendName, Dataset, FBGD, loss, MBSGD, nn, optim, Random, SGD, setBackend, type Tensor, tensor } from '../lib/index.js'
import { floor, floorMissing, floorProducts } from './floor/floor.js'
import type { Contestant } from './measure.js'
import { PlainNetwork, shuffle } from './plain-loops.js'
import { adamRate, generator, rateOf, type Samples, type Stage, samplesOf, type Variant, type Workload } from './workloads.js'

/** `float32` is the native engine on the plain workload, run beside a variant in float64. */
export type Name = BackendName | 'plain' | 'floor' | 'float32'

type Dtype = 'float32' | 'float64'
const dtypeOf = (variant: Variant): Dtype => (variant === 'float64' ? 'float64' : 'float32')

/** The parts of a network of images [C, H, W], signals [C, L] or sequences [T, features]; `shape` is a sample's on its way. */
function staged(stages: readonly Stage[], shape: number[], rng: Random, dtype: Dtype): nn.Sequential {
  const flat = shape.length === 2
  const make = (stage: Stage): nn.Module => {
    const [c, ...size] = shape as [number, ...number[]]
    switch (stage[0]) {
      case 'conv': {
        const [, channels, window, { padding = 0, groups = 1 } = {}] = stage
        shape.splice(0, shape.length, channels, ...size.map((n) => n + 2 * padding - window + 1))
        return new (flat ? nn.Conv1d : nn.Conv2d)(c, channels, window, { padding, groups, rng, dtype })
      }
      case 'pool':
        shape.splice(0, shape.length, c, ...size.map((n) => Math.floor(n / stage[1])))
        return new (flat ? nn.MaxPool1d : nn.MaxPool2d)(stage[1])
      case 'dense': {
        shape.splice(0, shape.length, stage[1])
        return new nn.Linear(c, stage[1], { rng, dtype })
      }
      case 'flatten':
        shape.splice(
          0,
          shape.length,
          size.reduce((a, b) => a * b, c),
        )
        return new nn.Flatten()
      case 'globalAvg':
        shape.splice(0, shape.length, c)
        return new nn.GlobalAvgPool2d()
      case 'batchNorm':
        return new (flat ? nn.BatchNorm1d : nn.BatchNorm2d)(c, { dtype })
      case 'relu':
        return new nn.ReLU()
      case 'lstm':
      case 'gru': {
        const features = shape.splice(1, 1, stage[1])[0] as number
        return new (stage[0] === 'lstm' ? nn.LSTM : nn.GRU)(features, stage[1], { rng, dtype })
      }
      case 'last':
      case 'mean':
        shape.shift()
        return stage[0] === 'last' ? new nn.LastStep() : new nn.MeanOverTime()
      case 'encoder': {
        const [, layers, heads, feedForward] = stage
        const layer = () =>
          new nn.TransformerEncoderLayer(shape[1] as number, heads, {
            dimFeedforward: feedForward,
            activation: 'gelu',
            dropout: 0,
            rng,
            dtype,
          })
        return new nn.TransformerEncoder(layer, layers)
      }
      case 'residual':
        return new nn.Residual(staged(stage[1], shape, rng, dtype))
    }
  }
  return new nn.Sequential(...stages.map(make))
}

export function network({ layers, activation, activeOutput, image, stages }: Workload, dtype: Dtype = 'float32'): nn.Sequential {
  const rng = new Random(3)
  if (image && stages) return staged(stages, [...image], rng, dtype)
  const last = layers.length - 2
  const activate = { relu: nn.ReLU, sigmoid: nn.Sigmoid, tanh: nn.Tanh }[activation]
  return new nn.Sequential(
    ...layers.slice(1).flatMap((n, i) => {
      const linear = new nn.Linear(layers[i] as number, n, { rng, dtype })
      return i === last && !activeOutput ? [linear] : [linear, new activate()]
    }),
  )
}

export function trainerOf(workload: Workload, model: nn.Module, variant: Variant = 'sgd'): FBGD | SGD | MBSGD {
  const rate = variant === 'adam' ? { optimizer: optim.adam({ learningRate: adamRate }) } : { learningRate: rateOf(workload) }
  const options = { loss: loss[workload.loss], ...rate }
  if (workload.full) return new FBGD(model, options)
  return workload.batch === 1 ? new SGD(model, options) : new MBSGD(model, { ...options, batchSize: workload.batch })
}

/** The first samples of a set, in shared memory as all sets that the library makes. */
export function dataset({ layers, loss, image }: Workload, { x, y }: Samples, samples: number, dtype: Dtype = 'float32'): Dataset {
  const inputs = layers[0] as number
  const outputs = layers[layers.length - 1] as number
  const floats = (values: Float32Array | Int32Array, shape: number[]): Tensor =>
    tensor(dtype === 'float32' ? values : Float64Array.from(values), { shape })
  return new Dataset(
    floats(x.subarray(0, samples * inputs) as Float32Array, image ? [samples, ...image] : [samples, inputs]),
    loss === 'crossEntropy' ? tensor(y.subarray(0, samples)) : floats(y.subarray(0, samples * outputs), [samples, outputs]),
  )
}

interface Cut {
  /** Of the samples, the first so many. */
  used: number
  epochs: number
  /** How many times all epochs are run, one fit after another. */
  fits: number
  /** What all of it counts as. */
  units: number
}

/** So many fits where a whole fit is the unit, and else one: of whole epochs over as many samples as needed for the updates. */
function cut({ kind, batch, samples, epochs: fixed }: Workload, wanted: number): Cut {
  if (kind === 'fit') return { used: samples, epochs: fixed ?? 1, fits: wanted, units: wanted }
  const used = Math.min(samples, wanted * batch)
  const perEpoch = used / batch
  const epochs = Math.max(1, Math.round(wanted / perEpoch))
  return { used, epochs, fits: 1, units: epochs * perEpoch }
}

const timed = async (units: number, work: () => unknown): Promise<{ updates: number; seconds: number }> => {
  const start = performance.now()
  await work()
  return { updates: units, seconds: (performance.now() - start) / 1000 }
}

/** One sample at a time, from a source that never waits. */
export async function* stream({ layers }: Workload, { x, y, samples }: Samples, count: number) {
  const inputs = layers[0] as number
  for (let i = 0; i < count; i++) {
    const row = i % samples
    yield { x: x.subarray(row * inputs, (row + 1) * inputs), y: y[row] as number }
  }
}

/** The library: from the call to the resolved promise, with tracing, lowering, checking the data and drawing the orders. */
function product(workload: Workload, samples: Samples, backend: BackendName, variant: Variant, name: Name = backend): Contestant {
  const dtype = dtypeOf(variant)
  const model = network(workload, dtype)
  const trainer = trainerOf(workload, model, variant)
  if (workload.kind === 'stream') {
    return {
      name,
      run(wanted) {
        setBackend(backend)
        return timed(wanted, () => trainer.fitStream(stream(workload, samples, wanted)))
      },
    }
  }
  if (workload.kind === 'prediction') {
    const x = samples.x.subarray(0, workload.layers[0])
    const out = new Float32Array(workload.layers[workload.layers.length - 1] as number)
    return {
      name,
      run(wanted) {
        setBackend(backend)
        return timed(wanted, () => {
          for (let i = 0; i < wanted; i++) model.predictInto(x, out)
        })
      },
    }
  }
  const sets = new Map<number, Dataset>()
  return {
    name,
    run(wanted) {
      setBackend(backend)
      const { used, epochs, fits, units } = cut(workload, wanted)
      const set = sets.get(used) ?? dataset(workload, samples, used, dtype)
      sets.clear()
      sets.set(used, set)
      return timed(units, async () => {
        for (let fit = 0; fit < fits; fit++) await trainer.fit(set, { epochs, seed: 1 })
      })
    },
  }
}

function plain(workload: Workload, samples: Samples): Contestant {
  const loops = new PlainNetwork(
    workload,
    network(workload)
      .parameters()
      .map((p) => p.data),
  )
  const next = generator(5)
  const rate = rateOf(workload)
  const name = 'plain'
  if (workload.kind === 'stream') {
    const only = Int32Array.of(0)
    return {
      name,
      run: (wanted) =>
        timed(wanted, async () => {
          for await (const { x, y } of stream(workload, samples, wanted)) loops.epoch(x, [y], only, rate)
        }),
    }
  }
  if (workload.kind === 'prediction') {
    const x = samples.x.subarray(0, workload.layers[0])
    return {
      name,
      run: (wanted) =>
        timed(wanted, () => {
          for (let i = 0; i < wanted; i++) loops.predict(x)
        }),
    }
  }
  return {
    name,
    run(wanted) {
      const { used, epochs, fits, units } = cut(workload, wanted)
      return timed(units, () => {
        const order = Int32Array.from({ length: used }, (_, i) => i)
        for (let epoch = 0; epoch < epochs * fits; epoch++) {
          if (!workload.full) shuffle(order, next)
          loops.epoch(samples.x, samples.y, order, rate)
        }
      })
    },
  }
}

/** All that can run here, in the order of a turn; `native` says whether the native engine can. */
export function contestants(workload: Workload, variant: Variant, native: boolean, threads = 1): Contestant[] {
  const samples = samplesOf(workload)
  // The plain loops and the floor are of dense networks.
  const loops = variant === 'sgd' && !workload.stages ? [plain(workload, samples)] : []
  const slow = [product(workload, samples, 'js', variant), ...loops]
  if (!native) return slow
  setBackend('native')
  const { kind, layers, batch } = workload
  const bare =
    (kind === 'update' || kind === 'prediction') && !workload.stages && !floorMissing()
      ? [floor(floorProducts(layers, batch, kind === 'prediction'), dtypeOf(variant), threads)]
      : []
  const reference = variant === 'float64' ? [product(workload, samples, 'native', 'sgd', 'float32')] : []
  return [product(workload, samples, 'native', variant), ...bare, ...reference, ...slow]
}
