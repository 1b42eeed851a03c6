/**
 * Synaptic: its own optimised (generated) activate() and propagate(). All layers are logistic; samples one at a time. Its output
 * layer descends on the cross-entropy (no σ′), so it comes to another cost in as many steps.
 */

import synaptic from 'synaptic'
import { measure } from './task.mjs'

await measure((task) => {
  if (task.batch !== 1 || task.loss !== 'squaredError') return undefined
  const { layers, inputs, outputs } = task
  const network = new synaptic.Architect.Perceptron(...layers)
  const parts = [network.layers.input, ...network.layers.hidden, network.layers.output]
  for (let l = 1; l < parts.length; l++) {
    parts[l].list.forEach((neuron, j) => {
      neuron.bias = task.parameters[2 * l - 1][j]
      const incoming = Object.values(neuron.connections.inputs)
      parts[l - 1].list.forEach((before, i) => {
        incoming.find(({ from }) => from === before).weight = task.parameters[2 * l - 2][j * layers[l - 1] + i]
      })
    })
  }
  const rows = Array.from({ length: task.samples }, (_, r) => ({
    x: Array.from(task.x.subarray(r * inputs, (r + 1) * inputs)),
    y: Array.from(task.y.subarray(r * outputs, (r + 1) * outputs)),
  }))
  return {
    update(from, count) {
      for (let i = from; i < from + count; i++) {
        const { x, y } = rows[i % rows.length]
        network.activate(x)
        network.propagate(task.rate, y)
      }
    },
    predict: (x, count) =>
      Array.from({ length: count }, (_, r) => network.activate(Array.from(x.subarray(r * inputs, (r + 1) * inputs)))).flat(),
  }
})
