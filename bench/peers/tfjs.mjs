/** TensorFlow.js: an optimiser's minimize() over variables, batches made ahead. The backend is named by TFJS_BACKEND. */

import * as tf from '@tensorflow/tfjs'
import { measure } from './task.mjs'

const backend = process.env.TFJS_BACKEND ?? 'wasm'
console.info = console.warn = () => {}
if (backend === 'wasm') {
  const { setThreadsCount } = await import('@tensorflow/tfjs-backend-wasm')
  setThreadsCount(1)
}
await tf.setBackend(backend)
await tf.ready()

await measure((task) => {
  const { layers, inputs, perTarget, loss } = task
  const weights = layers.slice(1).map((n, l) => tf.variable(tf.tensor2d(task.parameters[2 * l], [n, layers[l]]).transpose()))
  const biases = layers.slice(1).map((_, l) => tf.variable(tf.tensor1d(task.parameters[2 * l + 1])))
  const activate = { relu: (z) => tf.relu(z), sigmoid: (z) => tf.sigmoid(z), tanh: (z) => tf.tanh(z) }[task.activation]
  const forward = (x) =>
    weights.reduce((a, w, l) => {
      const z = a.matMul(w).add(biases[l])
      return l < weights.length - 1 || task.activeOutput ? activate(z) : z
    }, x)
  const optimizer = task.variant === 'adam' ? tf.train.adam(task.rate, 0.9, 0.999, 1e-8) : tf.train.sgd(task.rate)
  const ready = new Map()
  const batch = (i) => {
    const key = i % task.batches
    if (!ready.has(key)) {
      const [a, b] = task.rows(key)
      const y = task.y.slice(a * perTarget, b * perTarget)
      ready.set(key, [
        tf.tensor2d(task.x.slice(a * inputs, b * inputs), [b - a, inputs]),
        loss === 'crossEntropy' ? tf.oneHot(tf.tensor1d(y, 'int32'), task.outputs).toFloat() : tf.tensor2d(y, [b - a, perTarget]),
      ])
    }
    return ready.get(key)
  }
  const cost = (x, y) =>
    loss === 'crossEntropy' ? tf.losses.softmaxCrossEntropy(y, forward(x)) : forward(x).sub(y).square().sum(1).mean().mul(0.5)
  const learn = (x, y) => tf.tidy(() => void optimizer.minimize(() => cost(x, y)))
  return {
    update(from, count) {
      for (let i = from; i < from + count; i++) learn(...batch(i))
      // What was asked for is there when a value can be read.
      biases[0].dataSync()
    },
    predict: (x, rows) => tf.tidy(() => forward(tf.tensor2d(x, [rows, inputs])).dataSync()),
    async stream(count) {
      for await (const [x, y] of samplesOf(task, count)) {
        const [xs, ys] = [tf.tensor2d(x, [1, inputs]), tf.oneHot([y], task.outputs).toFloat()]
        learn(xs, ys)
        tf.dispose([xs, ys])
      }
    },
  }
})

async function* samplesOf({ x, y, samples, inputs }, count) {
  for (let i = 0; i < count; i++) yield [x.subarray((i % samples) * inputs, ((i % samples) + 1) * inputs), y[i % samples]]
}
