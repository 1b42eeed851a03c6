/**
 * brain.js 2: train() on the whole set, one sample an update. Every layer has the one activation; its error is ½ squared. It
 * refuses a momentum and a threshold of 0.
 */

import brain from 'brain.js'
import { measure } from './task.mjs'

await measure((task) => {
  if (task.batch !== 1 || task.kind === 'stream') return undefined
  const { layers, inputs, outputs, loss } = task
  const network = new brain.NeuralNetwork({
    inputSize: inputs,
    hiddenLayers: layers.slice(1, -1),
    outputSize: outputs,
    activation: task.activation,
    learningRate: task.rate,
    momentum: 1e-30,
  })
  network.initialize()
  for (let l = 1; l < layers.length; l++) {
    for (let j = 0; j < layers[l]; j++) {
      network.biases[l][j] = task.parameters[2 * l - 1][j]
      for (let i = 0; i < layers[l - 1]; i++) network.weights[l][j][i] = task.parameters[2 * l - 2][j * layers[l - 1] + i]
    }
  }
  const target = (r) =>
    loss === 'crossEntropy'
      ? Array.from({ length: outputs }, (_, j) => Number(j === task.y[r]))
      : Array.from(task.y.subarray(r * outputs, (r + 1) * outputs))
  const rows = Array.from({ length: task.samples }, (_, r) => ({
    input: Array.from(task.x.subarray(r * inputs, (r + 1) * inputs)),
    output: target(r),
  }))
  const train = (set, iterations) =>
    network.train(set, { iterations, errorThresh: 1e-30, learningRate: task.rate, momentum: 1e-30, log: false, errorCheckInterval: 1e9 })
  return {
    update(_from, count) {
      if (count >= rows.length) train(rows, Math.ceil(count / rows.length))
      else train(rows.slice(0, count), 1)
    },
    predict: (x, count) =>
      Array.from({ length: count }, (_, r) => Array.from(network.run(Array.from(x.subarray(r * inputs, (r + 1) * inputs))))).flat(),
  }
})
