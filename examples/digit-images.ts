/**
 * `node dist/examples/digit-images.js`: the digits of `digits.ts` as images. A small convolutional network, its images moved and
 * made noisy within the training program, gets right what a dense one does not. `--help` lists the options.
 */

import { parseArgs } from 'node:util'
import { backend, Dataset, loss, MBSGD, nn, optim, Random, report } from 'wengert'
import { loadDigits } from './digits-task.js'
import { percent } from './output.js'

const help = `Trains a convolutional network on 1,797 handwritten digits of 8 × 8 pixels, a fifth of them held out.

  node dist/examples/digit-images.js
  node dist/examples/digit-images.js --report digits.html    with samples, learned filters and wrong answers
  node dist/examples/digit-images.js --json                  one line of JSON
`
const epochs = 20
const seed = 1

function options() {
  try {
    return parseArgs({ options: { json: { type: 'boolean' }, help: { type: 'boolean' }, report: { type: 'string' } } }).values
  } catch (error) {
    console.error(`digit-images: ${(error as Error).message.split('. ')[0]}. What there is: node dist/examples/digit-images.js --help`)
    process.exit(2)
  }
}

async function main(json: boolean, page: string | undefined): Promise<void> {
  const [training, held] = (await loadDigits(seed)).map(({ x, y }) => new Dataset(x.reshape([x.shape[0] as number, 1, 8, 8]), y)) as [
    Dataset,
    Dataset,
  ]
  const rng = new Random(seed)
  const model = new nn.Sequential(
    new nn.RandomShift(1),
    new nn.GaussianNoise(0.05),
    new nn.Conv2d(1, 16, 3, { padding: 1, bias: false, rng }),
    new nn.BatchNorm2d(16),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(16, 32, 3, { padding: 1, rng }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(128, 10, { rng }),
  )
  const schedule = optim.schedules.cosine({ total: epochs })
  const trainer = new MBSGD(model, { loss: loss.crossEntropy, optimizer: optim.adam({ learningRate: 0.01 }), schedule, batchSize: 32 })
  const history = await trainer.fit(training, { epochs, seed, validation: held, metrics: ['accuracy', 'confusionMatrix'] })
  const { accuracy } = await trainer.evaluate(held, { metrics: ['accuracy'] })
  if (page !== undefined) await report(history, { path: page, model, images: held, title: 'Digits as images' })
  if (json) console.log(JSON.stringify({ engine: backend().name, epochs, cost: history.last?.cost, testAccuracy: accuracy }))
  else {
    console.log(model.summary())
    console.log(
      `\nheld-out accuracy ${percent(accuracy as number)} after ${epochs} epochs, ${history.seconds.toFixed(1)} s on ${backend().name}`,
    )
    if (page !== undefined) console.log(`report: ${page}`)
  }
}

const { json, help: asked, report: page } = options()
if (asked) process.stdout.write(help)
else await main(json === true, page)
