/**
 * What a peer is given, in a process of its own: a workload, its samples, the parameters to start from. And what is asked of
 * it: a fixed number of updates in a fixed order of batches, then the cost (so that all can be seen to learn the same thing),
 * then its time.
 */

import { network } from '../../dist/bench/contestants.js'
import { adamRate, rateOf, samplesOf, workloads } from '../../dist/bench/workloads.js'

/** Samples of which the cost is told at the end. */
export const judged = 1000

/** @param variant sgd or adam */
export function taskOf(name, variant = 'sgd') {
  const workload = workloads.find((one) => one.name === name)
  const { layers, loss } = workload
  const samples = samplesOf(workload)
  const outputs = layers.at(-1)
  const perTarget = loss === 'crossEntropy' ? 1 : outputs
  return {
    ...workload,
    variant,
    rate: variant === 'adam' ? adamRate : rateOf(workload),
    x: samples.x,
    y: samples.y,
    inputs: layers[0],
    outputs,
    perTarget,
    batches: workload.samples / workload.batch,
    /** Weight [n, k] and bias [n] of each layer in turn. */
    parameters: network(workload)
      .parameters()
      .map((p) => p.data),
    /** Updates before the cost is told. */
    checked: workload.full ? 3 : workload.stages || layers[1] >= 512 ? 10 : workload.kind === 'fit' ? 400 : 200,
    /** Rows of the batch that is the i-th update's. */
    rows(i) {
      const from = (i % this.batches) * this.batch
      return [from, from + this.batch]
    },
  }
}

/** The mean loss of rows of predictions (logits, or values) over the first samples. */
export function costOf({ loss, outputs, y }, predictions) {
  const rows = predictions.length / outputs
  let total = 0
  for (let r = 0; r < rows; r++) {
    const z = predictions.subarray(r * outputs, (r + 1) * outputs)
    if (loss === 'crossEntropy') {
      const largest = Math.max(...z)
      let sum = 0
      for (const value of z) sum += Math.exp(value - largest)
      total += Math.log(sum) + largest - z[y[r]]
    } else for (let j = 0; j < outputs; j++) total += 0.5 * (z[j] - y[r * outputs + j]) ** 2
  }
  return total / rows
}

/**
 * Runs a peer and prints one line of JSON. `make` gives `update(from, count)` (awaited; update i is on the batch `task.rows(i)`),
 * `predict(x, rows)` (flat predictions; awaited), for a stream `stream(count)`, and where it can `fit(count)`, whole fits.
 * A peer that has more to do than what is measured returns the seconds itself. With `stages` it takes networks of images, too.
 */
export async function measure(make, { stages = false } = {}) {
  const [name, variant, secondsText] = process.argv.slice(2)
  const task = taskOf(name, variant)
  const seconds = Number(secondsText)
  const peer = task.stages && !stages ? undefined : await make(task)
  if (!peer) {
    console.log(JSON.stringify({ left: 'nothing of the kind in it' }))
    return
  }
  const result = { cost: null }
  if (task.kind !== 'prediction') {
    await peer.update(0, task.checked)
    const rows = Math.min(judged, task.samples)
    result.cost = costOf(task, Float32Array.from(await peer.predict(task.x.subarray(0, rows * task.inputs), rows)))
  }
  const unit = task.kind === 'fit' && !peer.fit ? task.samples * task.epochs : 1
  const one = task.x.subarray(0, task.inputs)
  const work = {
    update: (n) => peer.update(0, n),
    // A whole fit is as many updates; where one takes too long it is counted from a part of it.
    fit: (n) => (peer.fit ?? ((count) => peer.update(0, count)))(n),
    stream: (n) => peer.stream(n),
    prediction: async (n) => {
      for (let i = 0; i < n; i++) await peer.predict(one, 1)
    },
  }[task.kind]
  const clock = async (n) => {
    const start = performance.now()
    const own = await work(n)
    return typeof own === 'number' ? own : (performance.now() - start) / 1000
  }
  let amount = 1
  // Code is slow when first run.
  let taken = Math.min(await clock(1), await clock(1))
  while (taken < seconds / 4 && amount < unit * 1e6) {
    amount = Math.ceil(amount * Math.min(8, Math.max(2, (0.7 * seconds) / Math.max(taken, 1e-6))))
    taken = await clock(amount)
  }
  const turns = []
  for (let turn = 0; turn < (taken > 4 * seconds ? 1 : 3); turn++) turns.push((1e6 * (await clock(amount)) * unit) / amount)
  result.microseconds = turns.sort((a, b) => a - b)[turns.length >> 1]
  console.log(JSON.stringify(result))
  process.exit(0)
}
