/**
 * `node dist/examples/writer.js`: a character model that writes. A small causal transformer learns a few of Aesop's fables letter by letter, and then
 * goes on from a beginning, one letter at a time: a stepper keeps the keys and values of what it has written.
 */

import { readFileSync } from 'node:fs'
import { backend, loss, MBSGD, nn, optim, Random, tensor } from 'wengert'
import { dataFile, flagsOf } from './output.js'

const help = `Trains a causal transformer on a few fables (examples/data/aesop.txt) and lets it write.

  node dist/examples/writer.js
  node dist/examples/writer.js --json    one line of JSON
`
const { json } = flagsOf('writer', help)
const text = readFileSync(dataFile('aesop.txt'), 'utf8')
const letters = [...new Set(text)].sort()
const code = new Map(letters.map((letter, i) => [letter, i]))
const ids = Int32Array.from(text, (letter) => code.get(letter) as number)

// Windows of the text, each letter with the one that follows it.
const [steps, features, stride] = [32, 32, 8]
const count = Math.floor((ids.length - steps - 1) / stride)
const x = new Float32Array(count * steps)
const y = new Int32Array(count * steps)
for (let i = 0; i < count; i++) {
  x.set(ids.subarray(i * stride, i * stride + steps), i * steps)
  y.set(ids.subarray(i * stride + 1, i * stride + steps + 1), i * steps)
}
const data = { x: tensor(x, { shape: [count, steps] }), y: tensor(y, { shape: [count, steps] }) }

const rng = new Random(1)
const layer = () =>
  new nn.TransformerEncoderLayer(features, 4, { dimFeedforward: 64, causal: true, rotary: true, normFirst: true, dropout: 0, rng })
const model = new nn.Sequential(
  new nn.Embedding(letters.length, features, { rng }),
  new nn.TransformerEncoder(layer, 2, { norm: new nn.LayerNorm(features) }),
  new nn.Linear(features, letters.length, { rng }),
)
const epochs = 8
const trainer = new MBSGD(model, {
  loss: loss.crossEntropy,
  optimizer: optim.adamW({ learningRate: 0.006 }),
  schedule: optim.schedules.cosine({ total: epochs, per: 'epoch' }),
  batchSize: 16,
})
const history = await trainer.fit(data, { epochs, seed: 1, metrics: ['accuracy'] })

/** Goes on from a beginning; each letter is drawn by its probability, sharpened. */
function write(beginning: string, more: number): string {
  const draws = new Random(5).uniform([more]).data
  const stepper = model.stepper({ maxSteps: steps })
  const read = (letters: string) => Array.from(letters, (letter) => stepper.step(code.get(letter) as number)).pop()
  let written = beginning
  let logits = read(beginning)
  for (let i = 0; i < more && logits; i++) {
    const shares = logits.div(0.5).softmax().data
    let rest = draws[i] as number
    const found = shares.findIndex((share) => {
      rest -= share
      return rest < 0
    })
    written += letters[found < 0 ? letters.length - 1 : found]
    // Of longer texts than it has learned from it knows nothing: it goes on from the second half.
    if (stepper.position === steps) {
      stepper.reset()
      logits = read(written.slice(-steps / 2))
    } else logits = read(written.slice(-1))
  }
  return written
}

const written = write('Once ', 160)
// What a letter costs where only its frequency is known.
const frequencies = letters.map((_, i) => ids.filter((id) => id === i).length / ids.length)
const baseline = -frequencies.reduce((sum, p) => sum + p * Math.log(p), 0)
if (json) {
  const { cost, accuracy } = history.last ?? {}
  console.log(JSON.stringify({ engine: backend().name, epochs, cost, accuracy, baseline, written }))
} else {
  console.log(model.summary())
  console.log(`\nnats a letter: ${history.last?.cost.toFixed(2)}; by their frequencies alone ${baseline.toFixed(2)}`)
  console.log(`\n${written}\n\n${history.seconds.toFixed(1)} s on ${backend().name}`)
}
