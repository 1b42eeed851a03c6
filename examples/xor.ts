/**
 * The smallest program: a network of 2-4-1 learns exclusive or, which no single neuron can.
 *
 * `node dist/examples/xor.js [--json]`
 */

import { backend, FBGD, loss, nn, Random } from 'wengert'
import { flagsOf, table } from './output.js'

const { json } = flagsOf('xor', 'Learns exclusive or and prints its truth table.\n\n  --json   one line of JSON instead\n')

const x = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
]
const y = [[0], [1], [1], [0]]

const rng = new Random(1)
const model = new nn.Sequential(new nn.Linear(2, 4, { rng }), new nn.Tanh(), new nn.Linear(4, 1, { rng }))
const trainer = new FBGD(model, { loss: loss.bceWithLogits, learningRate: 1 })
const history = await trainer.fit({ x, y }, { epochs: 2000, seed: 1 })

// The model gives logits; their sigmoid is the probability of 1.
const probabilities = model.predict(x).sigmoid().toArray()
const rows = x.map(([a, b], i) => {
  const probability = probabilities[i]?.[0] as number
  return { a, b, probability, answer: probability > 0.5 ? 1 : 0 }
})

if (json) {
  console.log(JSON.stringify({ engine: backend().name, updates: history.updates, cost: history.last?.cost, rows }))
} else {
  console.log(
    table([['a', 'b', 'a xor b', 'probability of 1'], ...rows.map((r) => [`${r.a}`, `${r.b}`, `${r.answer}`, r.probability.toFixed(4)])]),
  )
  console.log(`\n${history.updates} updates in ${(1000 * history.seconds).toFixed(0)} ms, cost ${history.last?.cost.toFixed(6)}`)
}
