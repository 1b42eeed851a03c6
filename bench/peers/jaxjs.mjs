/** jax-js on its WebAssembly device: one jitted function from parameters and a batch to the parameters after the update. */

import { defaultDevice, grad, init, jit, nn, numpy as np } from '@jax-js/jax'
import { measure } from './task.mjs'

await init('wasm')
defaultDevice('wasm')

await measure((task) => {
  if (task.variant === 'adam') return undefined
  const { layers, inputs, perTarget, loss, outputs, rate } = task
  let parameters = task.parameters.map((p, i) => {
    const n = layers[(i >> 1) + 1]
    return i % 2 ? np.array(Float32Array.from(p)) : np.array(Float32Array.from(p)).reshape([n, layers[i >> 1]])
  })
  const activate = { relu: nn.relu, sigmoid: nn.sigmoid, tanh: np.tanh }[task.activation]
  const forward = (p, x) => {
    let a = x
    for (let l = 0; l < layers.length - 1; l++) {
      const z = np.matmul(a, np.transpose(p[2 * l].ref)).add(p[2 * l + 1].ref)
      a = l < layers.length - 2 || task.activeOutput ? activate(z) : z
    }
    return a
  }
  const cost = (p, x, y) =>
    loss === 'crossEntropy'
      ? np.mean(np.sum(nn.logSoftmax(forward(p, x)).mul(y), -1)).mul(-1)
      : np.mean(np.sum(np.square(forward(p, x).sub(y)), -1)).mul(0.5)
  const step = jit((p, x, y) => {
    const g = grad(cost)(
      p.map((one) => one.ref),
      x,
      y,
    )
    return p.map((one, i) => one.sub(g[i].mul(rate)))
  })
  const predict = jit(forward)
  const targets = (a, b) => {
    if (loss !== 'crossEntropy') return task.y.slice(a * perTarget, b * perTarget)
    const hot = new Float32Array((b - a) * outputs)
    for (let r = a; r < b; r++) hot[(r - a) * outputs + task.y[r]] = 1
    return hot
  }
  const tensors = (a, b) => [
    np.array(task.x.slice(a * inputs, b * inputs)).reshape([b - a, inputs]),
    np.array(targets(a, b)).reshape([b - a, loss === 'crossEntropy' ? outputs : perTarget]),
  ]
  const ready = new Map()
  return {
    async update(from, count) {
      for (let i = from; i < from + count; i++) {
        const key = i % task.batches
        if (!ready.has(key)) ready.set(key, tensors(...task.rows(key)))
        const [x, y] = ready.get(key)
        parameters = step(parameters, x.ref, y.ref)
      }
      await parameters.at(-1).ref.data()
    },
    predict: (x, rows) =>
      predict(
        parameters.map((p) => p.ref),
        np.array(x.slice()).reshape([rows, inputs]),
      ).data(),
    async stream(count) {
      for await (const i of counter(count)) {
        const row = i % task.samples
        parameters = step(parameters, ...tensors(row, row + 1))
      }
      await parameters.at(-1).ref.data()
    },
  }
})

async function* counter(count) {
  for (let i = 0; i < count; i++) yield i
}
