/** Training of one network over a table: what `train` does with its choices, and what an ejected program writes out. */

import {
  type Callback,
  calibrate,
  chooseThreshold,
  classWeights,
  type Dataset,
  earlyStopping,
  type FittedTable,
  type History,
  loss,
  MBSGD,
  nn,
  optim,
  Random,
  type Table,
  TablePredictor,
  tensor,
} from '../index.js'

/** What a training is told. */
export interface Recipe {
  readonly hidden: readonly number[]
  readonly dropout: number
  readonly rate: number
  readonly batchSize: number
  readonly epochs: number
  readonly patience: number
  /** The power of class weights; 0 for none. */
  readonly weigh: number
  readonly seed: number
}

/** The layers of a recipe over a table. */
export function networkOf(table: FittedTable, { hidden, dropout, seed }: Recipe): nn.Sequential {
  const rng = new Random(seed)
  const layers: nn.Module[] = [table.input({ rng })]
  let width = table.width
  for (const next of hidden) {
    layers.push(new nn.Linear(width, next, { rng }), new nn.ReLU())
    if (dropout > 0) layers.push(new nn.Dropout(dropout))
    width = next
  }
  layers.push(new nn.Linear(width, table.outputs, { rng }))
  return new nn.Sequential(...layers)
}

export interface Trained {
  readonly model: nn.Sequential
  readonly history: History
  readonly best: number
  readonly bestEpoch: number
}

/** Trains until the validation part gets no better, and brings weighted classes back to their true shares. */
export async function trainNetwork(
  table: FittedTable,
  train: Dataset,
  validation: Dataset,
  recipe: Recipe,
  callbacks: readonly Callback[] = [],
): Promise<Trained> {
  const model = networkOf(table, recipe)
  const weights = recipe.weigh > 0 ? classWeights(train.y.data, table.outputs, { power: recipe.weigh }) : undefined
  const trainer = new MBSGD(model, {
    loss: weights ? loss.crossEntropy.with({ weight: weights }) : table.loss,
    optimizer: optim.adamW({ learningRate: recipe.rate, weightDecay: 0.01 }),
    batchSize: Math.min(recipe.batchSize, train.length),
  })
  const stop = earlyStopping({ patience: recipe.patience })
  const history = await trainer.fit(train, { epochs: recipe.epochs, validation, callbacks: [stop, ...callbacks], seed: recipe.seed })
  if (weights) {
    const last = Object.values(model.children()).at(-1)?.[1] as nn.Linear
    last.bias?.assign(last.bias.sub(tensor(weights).log()))
  }
  return { model, history, best: stop.best as number, bestEpoch: stop.bestEpoch }
}

/** A model that knows the shares of the classes, or the mean, and nothing else. */
export function constantModel(table: FittedTable, train: Dataset): nn.Sequential {
  const linear = new nn.Linear(table.width, table.outputs, { init: 'zeros' })
  const { data } = train.y
  const k = table.outputs
  const means = new Float64Array(k)
  if (table.task === 'classes') for (const y of data) means[y] = (means[y] as number) + 1 / train.length
  else for (let i = 0; i < data.length; i++) means[i % k] = (means[i % k] as number) + (data[i] as number) / train.length
  const clipped = means.map((p) => Math.min(Math.max(p, 1e-6), 1 - 1e-6))
  const bias =
    table.task === 'classes' ? clipped.map(Math.log) : table.task === 'labels' ? clipped.map((p) => Math.log(p / (1 - p))) : means
  linear.bias?.assign(tensor(Float32Array.from(bias)))
  return new nn.Sequential(table.input(), linear)
}

/** What a threshold is chosen for. */
export type Aim = NonNullable<NonNullable<Parameters<typeof chooseThreshold>[2]>['for']>

/** What is done after training. */
export interface Settling {
  /** What the threshold is chosen for; undefined where there is none. */
  readonly aim: Aim | undefined
  /** The threshold itself, where it was given. */
  readonly threshold: number | undefined
  readonly calibrate: boolean
}

/** The temperature and the threshold that the validation part says. */
export function settled(
  model: nn.Module,
  table: FittedTable,
  validation: Table,
  { aim, threshold, calibrate: calibrated }: Settling,
): { temperature?: number; threshold?: number } {
  if (table.task === 'numbers') return {}
  const temperature = calibrated ? { temperature: calibrate(model, table, validation) } : {}
  if (threshold !== undefined) return { ...temperature, threshold }
  if (table.task !== 'classes' || table.outputs !== 2 || aim === undefined) return temperature
  const p = new TablePredictor(model, table, temperature).values(validation)
  const y = table(validation).y.data
  const positive = p.filter((_, i) => i % 2 === 1)
  if (!y.includes(0) || !y.includes(1)) return temperature
  return { ...temperature, threshold: chooseThreshold(positive, y, { for: aim }) }
}
