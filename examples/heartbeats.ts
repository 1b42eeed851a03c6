/**
 * `node dist/examples/heartbeats.js`: a classifier of signals. Heartbeats like those of an electrocardiogram are generated (a
 * normal beat, a premature one, one with a flat ST segment, one without a P wave) and told apart by convolutions along time.
 */

import { parseArgs } from 'node:util'
import { backend, Dataset, loss, MBSGD, nn, optim, Random, split } from 'wengert'
import { percent, table } from './output.js'

const help = `Trains a network of 1-D convolutions on 800 generated heartbeats of 96 values, a quarter of them held out.

  node dist/examples/heartbeats.js
  node dist/examples/heartbeats.js --json    one line of JSON
`
const epochs = 10
const length = 96
const classes = ['normal', 'premature', 'raised ST', 'no P wave'] as const

/** A wave: where its middle is (share of the beat), its width and its height. */
type Wave = readonly [at: number, width: number, height: number]

/** P, Q, R, S and T of each class. */
const waves: Record<(typeof classes)[number], readonly Wave[]> = {
  normal: [
    [0.2, 0.025, 0.15],
    [0.36, 0.01, -0.12],
    [0.4, 0.012, 1],
    [0.44, 0.012, -0.25],
    [0.68, 0.045, 0.3],
  ],
  premature: [
    [0.3, 0.04, -0.3],
    [0.38, 0.035, 0.9],
    [0.5, 0.04, -0.5],
    [0.7, 0.06, -0.25],
  ],
  'raised ST': [
    [0.2, 0.025, 0.15],
    [0.36, 0.01, -0.12],
    [0.4, 0.012, 1],
    [0.44, 0.012, -0.1],
    [0.55, 0.07, 0.3],
    [0.68, 0.045, 0.3],
  ],
  'no P wave': [
    [0.36, 0.01, -0.12],
    [0.4, 0.012, 1],
    [0.44, 0.012, -0.25],
    [0.68, 0.045, 0.3],
  ],
}

/** m beats [m, 1, length], each moved, stretched, scaled, on a wandering line and with noise; and their classes. */
function beats(m: number, rng: Random): Dataset {
  const noise = rng.normal([m, 1, length]).mul(0.03)
  const draws = rng.uniform([m, 5], -1, 1).data
  const y = Int32Array.from({ length: m }, (_, i) => i % classes.length)
  for (let i = 0; i < m; i++) {
    const [moved, stretched, scaled, wander, phase] = draws.slice(5 * i, 5 * i + 5) as unknown as [number, number, number, number, number]
    const list = waves[classes[y[i] as number] as (typeof classes)[number]]
    for (let t = 0; t < length; t++) {
      const at = (t / length - 0.5 - 0.06 * moved) / (1 + 0.08 * stretched) + 0.5
      const heart = list.reduce((sum, [middle, width, height]) => sum + height * Math.exp(-0.5 * ((at - middle) / width) ** 2), 0)
      const line = 0.1 * wander * Math.sin(2 * Math.PI * (t / length + phase))
      noise.data[i * length + t] = (noise.data[i * length + t] as number) + (1 + 0.2 * scaled) * heart + line
    }
  }
  return new Dataset(noise, y, { classes: [...classes] })
}

function options() {
  try {
    return parseArgs({ options: { json: { type: 'boolean' }, help: { type: 'boolean' } } }).values
  } catch (error) {
    console.error(`heartbeats: ${(error as Error).message.split('. ')[0]}. What there is: node dist/examples/heartbeats.js --help`)
    process.exit(2)
  }
}

async function main(json: boolean): Promise<void> {
  const rng = new Random(1)
  const [training, held] = split(beats(800, rng), { test: 0.25, seed: 1, stratify: true })
  const model = new nn.Sequential(
    new nn.RandomShift(4),
    new nn.Conv1d(1, 8, 7, { padding: 3, rng }),
    new nn.BatchNorm1d(8),
    new nn.ReLU(),
    new nn.MaxPool1d(2),
    new nn.Conv1d(8, 16, 7, { padding: 3, rng }),
    new nn.ReLU(),
    new nn.MaxPool1d(4),
    new nn.Flatten(),
    new nn.Linear(192, classes.length, { rng }),
  )
  const trainer = new MBSGD(model, { loss: loss.crossEntropy, optimizer: optim.adam({ learningRate: 0.005 }), batchSize: 16 })
  const history = await trainer.fit(training, { epochs, seed: 1 })
  const { accuracy, confusionMatrix } = await trainer.evaluate(held, { metrics: ['accuracy', 'confusionMatrix'] })
  if (json) {
    console.log(JSON.stringify({ engine: backend().name, epochs, cost: history.last?.cost, testAccuracy: accuracy, confusionMatrix }))
    return
  }
  console.log(model.summary())
  const rows = (confusionMatrix as number[][]).map((counts, c) => [classes[c] as string, ...counts.map(String)])
  console.log(`\n${table([['true \\ said', ...classes], ...rows])}`)
  console.log(
    `\nheld-out accuracy ${percent(accuracy as number)} after ${epochs} epochs, ${history.seconds.toFixed(1)} s on ${backend().name}`,
  )
}

const { json, help: asked } = options()
if (asked) process.stdout.write(help)
else await main(json === true)
