/**
 * The task of `digits.ts`: 1,797 images of digits, 8 × 8 pixels, a network of 64-32-10, and the three trainers of the
 * mathematics §6 from the same start. All sizes and rates are here.
 */

import { readFile } from 'node:fs/promises'
import { Dataset, type EpochRecord, FBGD, type History, loss, MBSGD, nn, Random, SGD, split } from 'wengert'
import { dataFile } from './output.js'

/** What one training came to. Accuracies are shares, `cost` the mean over the training set after the last update. */
export interface Outcome {
  name: string
  updates: number
  epochs: number
  cost: number
  trainAccuracy: number
  testAccuracy: number
  /** Of the training alone. */
  seconds: number
  /** The cost of each epoch, as met during it. */
  curve: number[]
  history: History
  model: nn.Module
}

export const layers = [64, 32, 10] as const
/** The same for each trainer, so that what they make of an equal number of looks at the data can be compared. */
export const epochs = 100

const common = { loss: loss.crossEntropy }
/** Each with a rate that suits its batch. */
const trainers = {
  FBGD: (model: nn.Module) => new FBGD(model, { ...common, learningRate: 0.5 }),
  SGD: (model: nn.Module) => new SGD(model, { ...common, learningRate: 0.01 }),
  MBSGD: (model: nn.Module) => new MBSGD(model, { ...common, learningRate: 0.5, batchSize: 32 }),
}
export type TrainerName = keyof typeof trainers
export const trainerNames = Object.keys(trainers) as TrainerName[]

/** Pixels scaled to 0 … 1, labels 0 … 9; a stratified fifth is held out by the seed. */
export async function loadDigits(seed: number): Promise<[train: Dataset, test: Dataset]> {
  const [, ...lines] = (await readFile(dataFile('digits.csv'), 'utf8')).trim().split('\n')
  const rows = lines.map((line) => line.split(',').map(Number))
  const data = new Dataset(
    rows.map((row) => row.slice(0, 64).map((pixel) => pixel / 16)),
    Int32Array.from(rows, (row) => row[64] as number),
  )
  return split(data, { test: 0.2, seed, stratify: true })
}

/**
 * Trains a new network; the seed decides its start and the order of the samples.
 *
 * @param watch whether the history is to hold all that a report shows, which takes longer and trains the same but for rounding
 */
export async function train(
  name: TrainerName,
  [training, held]: readonly [Dataset, Dataset],
  seed: number,
  onEpoch?: (epoch: EpochRecord) => void,
  watch = false,
): Promise<Outcome> {
  const rng = new Random(seed)
  const [inputs, hidden, classes] = layers
  const model = new nn.Sequential(new nn.Linear(inputs, hidden, { rng }), new nn.ReLU(), new nn.Linear(hidden, classes, { rng }))
  const trainer = trainers[name](model)
  const history = await trainer.fit(training, {
    epochs,
    seed,
    ...(onEpoch && { onEpoch }),
    ...(watch && { validation: held, metrics: ['accuracy', 'confusionMatrix'] as const, health: true }),
  })
  const onTraining = await trainer.evaluate(training, { metrics: ['accuracy'] })
  const onHeld = await trainer.evaluate(held, { metrics: ['accuracy'] })
  return {
    name,
    updates: history.updates,
    epochs: history.epochs.length,
    cost: onTraining.cost,
    trainAccuracy: onTraining.accuracy as number,
    testAccuracy: onHeld.accuracy as number,
    seconds: history.seconds,
    curve: history.epochs.map(({ cost }) => cost),
    history,
    model,
  }
}
