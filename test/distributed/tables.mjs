/**
 * Reads tables, records, images and streams in parts and fits on them; as one process, all of them. Prints one line of JSON: what the
 * fitted tables are, what was learned, and what each rank holds.
 */
import { join } from 'node:path'
import {
  category,
  Dataset,
  distributed,
  fitTable,
  folds,
  loss,
  MBSGD,
  nn,
  number,
  Random,
  readTable,
  split,
  streamCsv,
} from '../../dist/lib/index.js'

await distributed.init()
const { rank, size } = distributed
const folder = process.argv[2]
const shard = 'auto'

const codeOf = (error) => error.code ?? String(error)
const refused = async (body) => {
  try {
    await body()
    return 'nothing'
  } catch (error) {
    return codeOf(error)
  }
}
const learned = async (data, options = {}) => {
  const width = data.x.shape[1]
  const classes = data.classes?.length ?? 1
  const model = new nn.Sequential(
    new nn.Linear(width, 4, { rng: new Random(1) }),
    new nn.Tanh(),
    new nn.Linear(4, classes, { rng: new Random(2) }),
  )
  const trainer = new MBSGD(model, { loss: data.classes ? loss.crossEntropy : loss.squaredError, batchSize: 8, learningRate: 0.05 })
  await trainer.fit(data, { epochs: 3, seed: 4, ...options })
  return Object.values(model.stateDict()).flatMap((t) => Array.from(t.data))
}
const out = {}
const held = {}
for (const name of ['mixed.csv', 'late.csv', 'dates.csv', 'rows.jsonl', 'few.csv']) {
  const rows = await readTable(join(folder, name), { shard })
  const options = { target: 'target', columns: name === 'mixed.csv' ? { size: number({ scale: 'quantiles' }), colour: category() } : {} }
  const [train, validation] =
    name === 'few.csv'
      ? [rows]
      : split(rows, {
          parts: [0.8, 0.2],
          seed: 3,
          ...(name === 'mixed.csv' && { stratify: 'target' }),
          ...(name === 'dates.csv' && { by: 'day' }),
        })
  const table = fitTable(train, options)
  out[name] = { table: JSON.parse(JSON.stringify(table)), says: String(table) }
  if (name === 'dates.csv')
    out[name].folds = folds(train, { by: 'day', folds: 2 }).map((fold) => [
      fold.train.shard?.total ?? fold.train.length,
      String(fitTable(fold.train, options)),
    ])
  const data = table(train)
  out[name].state = await learned(data, validation && { validation: table(validation) })
  const bytes = (set) => set.x.data.byteLength + set.y.data.byteLength
  held[name] = await distributed.gather({ rows: rows.length, bytes: rows.bytes + bytes(data), total: rows.shard?.total ?? rows.length })
  if (size > 1) out[name].refused = await distributed.gather(await refused(() => rows.complete('target')))
}
const records = Array.from({ length: 37 }, (_, i) => ({ a: Math.sin(i), b: i % 5, kind: ['x', 'z', 'y'][Math.floor(i / 13)] }))
const fromRecords = Dataset.fromRecords(records, { x: ['a', 'b'], y: 'kind', shard })
out.records = { classes: fromRecords.classes, state: await learned(fromRecords) }
held.records = await distributed.gather({ rows: fromRecords.length, bytes: fromRecords.x.data.byteLength, total: 37 })

const decoded = []
const decode = (path) => {
  decoded.push(path)
  const n = Number(/(\d+)\.png$/.exec(path)[1])
  return { data: Uint8Array.from({ length: 12 }, (_, i) => (n * 31 + i * 7) % 256), width: 2, height: 2, channels: 3 }
}
const images = await Dataset.fromImageFolder(join(folder, 'images'), { decode, shard, transform: (x) => x.reshape([12]).div(255) })
out.images = { classes: images.classes, state: await learned(images) }
held.images = await distributed.gather({ rows: images.length, bytes: images.x.data.byteLength, total: 11, decoded: decoded.length })

let [sum, streamed] = [0, 0]
for await (const { x } of streamCsv(join(folder, 'numbers.csv'), { target: 'y', batchSize: 4, shard })) {
  streamed += x.shape[0]
  sum += x.data.reduce((a, b) => a + b, 0)
}
const streams = await distributed.gather([streamed, sum])
out.stream = { rows: streams.reduce((n, [rows]) => n + rows, 0), sum: streams.reduce((n, [, each]) => n + each, 0) }
held.stream = streams.map(([rows]) => ({ rows, bytes: rows, total: out.stream.rows }))
const all = await distributed.gather(JSON.stringify(out))
if (rank === 0) console.log(JSON.stringify({ same: new Set(all).size === 1, out, held }))
