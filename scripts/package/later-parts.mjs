// The parts of the installed package that have files of their own, each of them once. Run in a project by checks.mjs; tells what it ran.
import { strict as assert } from 'node:assert'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import {
  backend,
  Dataset,
  distributed,
  FBGD,
  loss,
  nn,
  readCsv,
  readTable,
  report,
  setBackend,
  streamCsv,
  streamTable,
  sweep,
  tensor,
} from 'wengert'

const text = `x,y\n${Array.from({ length: 8 }, (_, i) => `${i},${2 * i}`).join('\n')}\n`
writeFileSync('later.csv', text)
const table = await readTable('later.csv')
assert.equal(table.length, 8)
let rows = 0
for await (const part of streamTable('later.csv')) rows += part.length
assert.equal(rows, 8)
const data = await readCsv('later.csv', { target: 'y' })
assert.equal(data.length, 8)
let streamed = 0
for await (const { x } of streamCsv('later.csv', { target: 'y', batchSize: 3 })) streamed += x.shape[0]
assert.equal(streamed, 8)

for (const name of ['a', 'b']) {
  mkdirSync(`later-images/${name}`, { recursive: true })
  writeFileSync(`later-images/${name}/one.png`, '')
}
const decode = () => ({ data: new Uint8Array(12), width: 2, height: 2, channels: 3 })
assert.equal((await Dataset.fromImageFolder('later-images', { decode })).length, 2)

const history = await new FBGD(new nn.Linear(1, 1), { loss: loss.mse, learningRate: 0.01 }).fit(data, { epochs: 3 })
await report(history, { path: 'later.html' })
assert.match(readFileSync('later.html', 'utf8'), /<svg/)

writeFileSync('later-trial.mjs', 'export default ({ a }) => a * a\n')
const here = await sweep({ a: [1, 2] }, ({ a }) => a * a, { trials: 4, seed: 1 })
const onThreads = await sweep({ a: [1, 2] }, new URL('./later-trial.mjs', import.meta.url), { trials: 4, seed: 1, workers: 2 })
assert.deepEqual(onThreads.best?.config, here.best?.config)

await distributed.init()
assert.equal(distributed.size, 1)
await distributed.finalize()

setBackend('js')
assert.equal(backend().name, 'js')
assert.deepEqual(tensor([1, 2]).add(1).toArray(), [2, 3])
console.log('tables, streams, images, reports, sweeps on threads, ranks, the JavaScript engine')
