/**
 * node-mlx on the CPU: one compiled function from parameters and a batch to the parameters after the update (compiled by the
 * system's C++ compiler when first run). Adam's update is left uncompiled: the compiler refuses what is made of it.
 */

import mlx from '@frost-beta/mlx'
import { measure } from './task.mjs'

const { core: mx } = mlx
mx.setDefaultDevice(mx.cpu)

await measure((task) => {
  const { layers, inputs, perTarget, loss, rate } = task
  const array = (values, shape) => mx.array(Array.from(values)).reshape(shape)
  const start = task.parameters.map((p, i) => array(p, i % 2 ? [layers[(i >> 1) + 1]] : [layers[(i >> 1) + 1], layers[i >> 1]]))
  const activate = { relu: (z) => mx.maximum(z, 0), sigmoid: mx.sigmoid, tanh: mx.tanh }[task.activation]
  const forward = (p, x) => {
    let a = x
    for (let l = 0; l < layers.length - 1; l++) {
      const z = mx.addmm(p[2 * l + 1], a, mx.transpose(p[2 * l]))
      a = l < layers.length - 2 || task.activeOutput ? activate(z) : z
    }
    return a
  }
  const cost = (p, x, y) => {
    const z = forward(p, x)
    if (loss !== 'crossEntropy') return mx.multiply(mx.mean(mx.sum(mx.square(mx.subtract(z, y)), 1)), 0.5)
    const own = mx.squeeze(mx.takeAlongAxis(z, mx.expandDims(y, 1), 1), 1)
    return mx.mean(mx.subtract(mx.logsumexp(z, 1), own))
  }
  const gradients = mx.grad(cost)
  const descend = (p, x, y) => gradients(p, x, y).map((g, i) => mx.subtract(p[i], mx.multiply(g, rate)))
  const step = mx.compile(descend)
  const compiled = mx.compile(gradients)
  const adam = (x, y) => {
    const g = compiled(parameters, x, y)
    steps++
    first = g.map((one, i) => mx.add(mx.multiply(first[i], 0.9), mx.multiply(one, 0.1)))
    second = g.map((one, i) => mx.add(mx.multiply(second[i], 0.999), mx.multiply(mx.square(one), 0.001)))
    const [a, b] = [1 - 0.9 ** steps, 1 - 0.999 ** steps]
    parameters = parameters.map((one, i) =>
      mx.subtract(one, mx.divide(mx.multiply(first[i], rate / a), mx.add(mx.sqrt(mx.divide(second[i], b)), 1e-8))),
    )
    mx.eval(...parameters, ...first, ...second)
  }
  const predict = mx.compile(forward)
  let parameters = start
  let [first, second] = [start.map((p) => mx.zerosLike(p)), start.map((p) => mx.zerosLike(p))]
  let steps = 0
  const ready = new Map()
  const batch = (i) => {
    const key = i % task.batches
    if (!ready.has(key)) {
      const [a, b] = task.rows(key)
      const y = task.y.subarray(a * perTarget, b * perTarget)
      const x = array(task.x.subarray(a * inputs, b * inputs), [b - a, inputs])
      ready.set(key, [x, loss === 'crossEntropy' ? mx.array(Array.from(y), mx.int32) : array(y, [b - a, perTarget])])
    }
    return ready.get(key)
  }
  const learn = (x, y) => {
    if (task.variant === 'adam') return adam(x, y)
    parameters = step(parameters, x, y)
    return mx.eval(...parameters)
  }
  return {
    update(from, count) {
      for (let i = from; i < from + count; i++) learn(...batch(i))
    },
    predict(x, rows) {
      const out = predict(parameters, array(x, [rows, inputs]))
      mx.eval(out)
      return out.tolist().flat()
    },
    async stream(count) {
      for await (const i of counter(count)) {
        const row = i % task.samples
        learn(array(task.x.subarray(row * inputs, (row + 1) * inputs), [1, inputs]), mx.array([task.y[row]], mx.int32))
      }
    },
  }
})

async function* counter(count) {
  for (let i = 0; i < count; i++) yield i
}
