/**
 * Trains a few small models, each in a few ways, and prints one line of JSON: what came of each, by name. As one process, or as
 * several under a launcher: the first prints, and says whether all hold the same bits.
 */
import { createHash } from 'node:crypto'
import { Dataset, distributed, FBGD, loss, MBSGD, nn, optim, Random, SGD, tensor } from '../../dist/lib/index.js'
import { ShardWindow } from '../../dist/lib/train/shard-window.js'

await distributed.init()
const only = process.argv[2]
/** One sample a rank: as one process, batches of so many. */
const ranks = Number(process.argv[3] ?? distributed.size)

const samples = 101
const rng = new Random(3)
const x = rng.normal([samples, 5])
const labels = tensor(
  Int32Array.from({ length: samples }, (_, i) => (x.data[5 * i] + x.data[5 * i + 1] > 0.3 ? 2 : x.data[5 * i + 2] > 0 ? 1 : 0)),
)
const weights = tensor(Float32Array.from({ length: samples }, (_, i) => (i % 7 === 0 ? 0 : 0.25 + (i % 5))))
const part = (t, from, to) => t.slice([from, to])
const validation = { x: part(x, 0, 31), y: part(labels, 0, 31) }

const dense = (seed = 1) => {
  const rng = new Random(seed)
  return new nn.Sequential(new nn.Linear(5, 16, { rng }), new nn.Tanh(), new nn.Linear(16, 3, { rng }))
}
const normed = (sync) => () => {
  const rng = new Random(1)
  return new nn.Sequential(new nn.Linear(5, 16, { rng }), new nn.BatchNorm1d(16, { sync }), new nn.ReLU(), new nn.Linear(16, 3, { rng }))
}
const dropped = () => {
  const rng = new Random(1)
  return new nn.Sequential(new nn.Linear(5, 16, { rng }), new nn.ReLU(), new nn.Dropout(0.3), new nn.Linear(16, 3, { rng }))
}
const sgd =
  (more = {}) =>
  (model) => {
    const options = { ...settings, learningRate: 0.02, ...more }
    return distributed.size > 1 ? new SGD(model, options) : new MBSGD(model, { ...options, batchSize: ranks })
  }
// Its first gradient is large enough to be made and added up in rows.
const wide = () => {
  const rng = new Random(1)
  return new nn.Sequential(new nn.Linear(150, 24, { rng }), new nn.Tanh(), new nn.Linear(24, 3, { rng }))
}
const images = rng.normal([samples, 150])
const recurrent = () => {
  const rng = new Random(1)
  return new nn.Sequential(new nn.GRU(1, 6, { rng }), new nn.LastStep(), new nn.Linear(6, 3, { rng }))
}
const sequences = { x: x.reshape([samples, 5, 1]), lengths: tensor(Int32Array.from({ length: samples }, (_, i) => 1 + (i % 5))) }
const short = { x: { x: part(sequences.x, 0, 31), lengths: part(sequences.lengths, 0, 31) }, y: part(labels, 0, 31) }
const tagging = () => {
  const rng = new Random(1)
  return new nn.Sequential(new nn.GRU(1, 6, { rng }), new nn.Linear(6, 3, { rng }))
}
// Behind the ends stands no class.
const tags = tensor(
  Int32Array.from({ length: samples * 5 }, (_, i) => (i % 5 < 1 + (Math.floor(i / 5) % 5) ? (x.data[i] > 0 ? 2 : i % 2) : 9)),
  { shape: [samples, 5] },
)
const perStep = { x: sequences, y: tags, weights }
const perStepToo = { x: short.x, y: part(tags, 0, 31) }
const classWeighted = loss.crossEntropy.with({ weight: [1, 3, 0.5] })
const settings = { loss: loss.crossEntropy, learningRate: 0.1 }
const adam = { loss: loss.crossEntropy, optimizer: optim.adam({ learningRate: 0.01 }) }
const mini =
  (more = {}) =>
  (model) =>
    new MBSGD(model, { ...settings, batchSize: 16, ...more })
const full =
  (more = {}) =>
  (model) =>
    new FBGD(model, { ...settings, ...more })

/** name: model, trainer, data, options of fit. The last batch of 16 has 5 samples; of 20, 1: fewer than ranks. */
const cases = {
  'FBGD dense': [dense, full()],
  'FBGD batch norm': [normed(true), full()],
  'FBGD clipping': [dense, full({ clipNorm: 0.05 })],
  'FBGD weights': [dense, full(), { weights }],
  'FBGD dropout': [dropped, full()],
  'SGD dense': [dense, sgd()],
  'SGD clipping': [dense, sgd({ clipNorm: 0.5 })],
  'MBSGD dense': [dense, mini()],
  'MBSGD wide': [wide, mini(), { x: images }, { validation: { x: part(images, 0, 31), y: part(labels, 0, 31) } }],
  'MBSGD adam': [dense, (model) => new MBSGD(model, { ...adam, batchSize: 16 })],
  'MBSGD batch norm': [normed(true), mini()],
  'MBSGD clipping': [dense, mini({ clipNorm: 0.3, clipValue: 0.1 })],
  'MBSGD weights': [dense, mini(), { weights }],
  'MBSGD class weights': [dense, mini({ loss: classWeighted })],
  'MBSGD short last batch': [dense, mini({ batchSize: 20 })],
  'MBSGD short last batch, batch norm': [normed(true), mini({ batchSize: 33 })],
  'MBSGD short last batch, weights': [dense, mini({ batchSize: 20 }), { weights }],
  'MBSGD accumulated': [dense, mini({ batchSize: 12, accumulate: 3 })],
  'MBSGD accumulated, batch norm': [normed(true), mini({ batchSize: 12, accumulate: 3 })],
  'MBSGD stratified': [dense, mini({ stratify: true })],
  'MBSGD balanced': [dense, mini({ balance: true })],
  'MBSGD by length': [recurrent, mini({ bucketByLength: 3 }), { x: sequences }, { validation: short }],
  'MBSGD targets a step': [tagging, mini({ loss: classWeighted }), perStep, { validation: perStepToo, metrics: ['accuracy', 'f1'] }],
  'MBSGD targets a step, by length': [
    tagging,
    mini({ bucketByLength: 3 }),
    perStep,
    { validation: perStepToo, metrics: ['accuracy', 'f1'] },
  ],
  'FBGD targets a step': [tagging, full(), perStep, { validation: perStepToo, metrics: ['accuracy'] }],
  'MBSGD dropout': [dropped, mini()],
  'MBSGD validation': [dense, mini(), {}, { validation, metrics: ['accuracy'], health: true }],
  'MBSGD whole metrics': [dense, mini(), {}, { validation, metrics: ['accuracy', 'confusionMatrix', 'f1'] }],
}
/** In parts: each rank has its range of the rows, by itself or one that is far from even, the second without any. */
const parted = (data) => {
  if (!only.startsWith('shards')) return data
  const { x, y, weights } = data
  if (only === 'shards' || distributed.size === 1) return new Dataset(x, y, { weights, shard: 'auto' })
  const total = y.shape[0]
  const ends = Array.from({ length: distributed.size }, (_, r) => (r === distributed.size - 1 ? total : 11 + r))
  ends[1] = distributed.size > 2 ? ends[0] : total
  const [from, to] = [distributed.rank === 0 ? 0 : ends[distributed.rank - 1], ends[distributed.rank]]
  const rows = (t) =>
    t === undefined ? undefined : t.constructor === Object ? Object.fromEntries(Object.entries(t).map(([k, v]) => [k, rows(v)])) : slice(t)
  const slice = (t) => tensor(t.data.slice((t.size / total) * from, (t.size / total) * to), { shape: [to - from, ...t.shape.slice(1)] })
  return new Dataset(rows(x), rows(y), { weights: rows(weights), shard: { start: from, total } })
}
// Some updates' rows at a time, in several messages each.
if (only === 'shards uneven') Object.assign(ShardWindow.limits, { window: 600, slice: 100 })
if (only.endsWith('chunks')) {
  FBGD.chunkRows = 8
  for (const name of Object.keys(cases)) if (!name.startsWith('FBGD') || name.includes('norm')) delete cases[name]
}

const results = {}
for (const [name, [model, trainer, data = {}, options = {}]] of Object.entries(cases)) {
  const network = model()
  const one = trainer(network)
  // Only the first rank's weights count.
  if (distributed.rank > 0) network.loadStateDict(model(distributed.rank + 1).stateDict())
  const history = await one.fit(parted({ x, y: labels, ...data }), {
    epochs: 4,
    seed: 5,
    ...options,
    ...(options.validation && { validation: parted(options.validation) }),
  })
  const scores = await one.evaluate(parted(options.validation ?? validation), { metrics: ['accuracy', 'f1'] })
  const state = Object.values(network.stateDict()).flatMap((t) => Array.from(t.data))
  const digest = createHash('sha256')
    .update(JSON.stringify([state, history.epochs.map(({ seconds, ...rest }) => rest)]))
    .digest('hex')
  const all = await distributed.gather(digest)
  results[name] = {
    same: all.every((one) => one === digest),
    state,
    costs: history.epochs.map(({ cost }) => cost),
    last: { ...history.last, seconds: 0 },
    scores,
  }
}
if (distributed.rank === 0) console.log(JSON.stringify(results))
