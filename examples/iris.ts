/**
 * From a table to a served model: Fisher's irises are read by column names, a third is held out, the features are standardised
 * by the training part alone, training stops early, and a model loaded from its one file names the species of a flower.
 *
 * `node dist/examples/iris.js [--json] [--out iris.model]`
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backend, earlyStopping, loadModel, loss, MBSGD, nn, optim, Random, readCsv, saveModel, split, standardize } from 'wengert'
import { dataFile, flagsOf, percent, table } from './output.js'

const { json, out } = flagsOf(
  'iris',
  'Tells three species of iris apart by four sizes.\n\n  --json         one line of JSON instead\n  --out <path>   keep the model there\n',
)

const seed = 1
const data = await readCsv(dataFile('iris.csv'), { target: 'species' })
const classes = data.classes as readonly string[]
const [learning, test] = split(data, { test: 1 / 3, seed, stratify: true })
const [train, validation] = split(learning, { test: 0.2, seed, stratify: true })
const scale = standardize(train)

const rng = new Random(seed)
const model = new nn.Sequential(new nn.Linear(4, 16, { rng }), new nn.ReLU(), new nn.Linear(16, classes.length, { rng }))
const trainer = new MBSGD(model, { loss: loss.crossEntropy, batchSize: 16, optimizer: optim.adam({ learningRate: 0.01 }) })
const stop = earlyStopping({ patience: 20 })
const history = await trainer.fit(scale(train), { epochs: 500, seed, validation: scale(validation), callbacks: [stop] })

const onTraining = await trainer.evaluate(scale(train), { metrics: ['accuracy'] })
const onTest = await trainer.evaluate(scale(test), { metrics: ['accuracy', 'confusionMatrix'] })
const counts = onTest.confusionMatrix as number[][]

// What a serving process does: it has the file, and a flower as a visitor measured it.
const folder = out === undefined ? await mkdtemp(join(tmpdir(), 'iris-')) : undefined
const path = out ?? join(folder as string, 'iris.model')
await saveModel(model, path, { transforms: [...(data.encoder ? [data.encoder] : []), scale], classes })
const served = await loadModel(path)
if (folder) await rm(folder, { recursive: true })
const flower = { sepal_length: 6.1, sepal_width: 2.8, petal_length: 4.7, petal_width: 1.2 }
const logits = served.predict(served.preprocess([flower]))
const [species] = served.classesOf(logits)
const [probabilities] = logits.softmax(1).toArray()

if (json) {
  console.log(
    JSON.stringify({
      engine: backend().name,
      samples: [train.length, validation.length, test.length],
      epochs: history.epochs.length,
      stopped: history.stopped,
      bestEpoch: stop.bestEpoch,
      trainAccuracy: onTraining.accuracy,
      testAccuracy: onTest.accuracy,
      confusion: counts,
      classes,
      species,
      probabilities,
    }),
  )
} else {
  console.log(
    `${train.length} flowers to learn from, ${validation.length} to stop by, ${test.length} held out\n` +
      `stopped after ${history.epochs.length} epochs, best was ${stop.bestEpoch}; accuracy ${percent(onTraining.accuracy as number)} in training, ${percent(onTest.accuracy as number)} on the held out\n`,
  )
  console.log(table([['is \\ taken for', ...classes], ...counts.map((row, c) => [classes[c] as string, ...row.map(String)])]))
  console.log(`\n${JSON.stringify(flower)}\nis a ${species} (${probabilities?.map((p, c) => `${classes[c]} ${percent(p)}`).join(', ')})`)
}
