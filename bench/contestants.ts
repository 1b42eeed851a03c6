/** What takes part in a workload: the library on both engines, as a user calls it, plain loops, and the floor. */

import { engine } from '../lib/backend/select.js'
import { type BackendName, Dataset, loss, MBSGD, nn, Random, SGD, setBackend, tensor } from '../lib/index.js'
import { floor } from './floor.js'
import type { Contestant } from './measure.js'
import { PlainNetwork, shuffle } from './plain-loops.js'
import { generator, learningRate, type Samples, samplesOf, type Workload } from './workloads.js'

export type Name = BackendName | 'plain' | 'floor'

export function network({ layers, activation }: Workload): nn.Sequential {
  const rng = new Random(3)
  const last = layers.length - 2
  return new nn.Sequential(
    ...layers.slice(1).flatMap((n, i) => {
      const linear = new nn.Linear(layers[i] as number, n, { rng })
      return i === last ? [linear] : [linear, activation === 'relu' ? new nn.ReLU() : new nn.Sigmoid()]
    }),
  )
}

export function trainerOf(workload: Workload, model: nn.Module): SGD | MBSGD {
  const options = { loss: loss[workload.loss], learningRate }
  return workload.batch === 1 ? new SGD(model, options) : new MBSGD(model, { ...options, batchSize: workload.batch })
}

/** The first samples of a set, in shared memory as all sets that the library makes. */
export function dataset({ layers, loss }: Workload, { x, y }: Samples, samples: number): Dataset {
  const inputs = layers[0] as number
  const outputs = layers[layers.length - 1] as number
  return new Dataset(
    tensor(x.subarray(0, samples * inputs), { shape: [samples, inputs] }),
    loss === 'crossEntropy' ? tensor(y.subarray(0, samples)) : tensor(y.subarray(0, samples * outputs), { shape: [samples, outputs] }),
  )
}

/** Whole epochs over as many samples as needed for `updates`. */
function cut({ batch, samples }: Workload, updates: number): { used: number; epochs: number; updates: number } {
  const used = Math.min(samples, updates * batch)
  const perEpoch = used / batch
  const epochs = Math.max(1, Math.round(updates / perEpoch))
  return { used, epochs, updates: epochs * perEpoch }
}

/** One fit, from the call to the resolved promise: tracing, lowering, checking the data and drawing the orders included. */
function product(workload: Workload, samples: Samples, name: BackendName): Contestant {
  const trainer = trainerOf(workload, network(workload))
  const sets = new Map<number, Dataset>()
  return {
    name,
    async run(wanted) {
      setBackend(name)
      const { used, epochs, updates } = cut(workload, wanted)
      const set = sets.get(used) ?? dataset(workload, samples, used)
      sets.clear()
      sets.set(used, set)
      const start = performance.now()
      await trainer.fit(set, { epochs, seed: 1 })
      return { updates, seconds: (performance.now() - start) / 1000 }
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
  return {
    name: 'plain',
    async run(wanted) {
      const { used, epochs, updates } = cut(workload, wanted)
      const start = performance.now()
      const order = Int32Array.from({ length: used }, (_, i) => i)
      for (let epoch = 0; epoch < epochs; epoch++) {
        shuffle(order, next)
        loops.epoch(samples.x, samples.y, order, learningRate)
      }
      return { updates, seconds: (performance.now() - start) / 1000 }
    },
  }
}

/** All that can run here, in the order of a turn; `native` says whether the native engine can. */
export function contestants(workload: Workload, native: boolean): Contestant[] {
  const samples = samplesOf(workload)
  const slow = [product(workload, samples, 'js'), plain(workload, samples)]
  if (!native) return slow
  setBackend('native')
  return [product(workload, samples, 'native'), ...slow, floor(engine(), workload.layers, workload.batch)]
}
