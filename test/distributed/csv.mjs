/**
 * Reads CSV files in parts, and each as one process reads it: every rank looks whether its rows are those of the whole, and whether all
 * fail alike. Prints what differs, by file.
 */
import { readFileSync } from 'node:fs'
import { Dataset, distributed, readCsv } from '../../dist/lib/index.js'

await distributed.init()
const { rank, size } = distributed
const files = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const wrong = []
let good = 0
let refused = 0
const attempt = async (read) => {
  try {
    return { value: await read() }
  } catch (error) {
    return { error: `${error.code} ${error.message}` }
  }
}
const bytes = (t) => Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength).toString('hex')
const told = ({ x, y, classes, features, encoder }) =>
  JSON.stringify([x.shape.slice(1), y.shape.slice(1), x.dtype, y.dtype, classes, features, encoder])
for (const { path, options } of files) {
  const whole = await attempt(() => readCsv(path, options))
  const part = await attempt(() => readCsv(path, { ...options, shard: 'auto' }))
  const fail = (what) => wrong.push({ path, rank, what })
  if (whole.error || part.error) {
    refused++
    // The same message, and which rank's part it is in.
    const [one, many] = [whole.error ?? 'none', part.error ?? 'none']
    // Of a file with two faults one process says that of form first, where both are in one piece that it reads.
    const line = (text) => Number(/line (\d+)/.exec(text)?.[1] ?? NaN)
    if (!many.startsWith(one) && !(whole.error && part.error && line(many) <= line(one))) fail([one, many])
    const all = await distributed.gather(many)
    if (new Set(all).size > 1) fail(all)
    continue
  }
  good++
  const { shard = { start: 0, total: part.value.length }, length } = part.value
  if (shard.total !== whole.value.length) fail(['rows', whole.value.length, shard.total])
  const rows = await distributed.gather([shard.start, length])
  let next = 0
  for (const [start, n] of rows) {
    if (start !== next && size > 1 && n > 0) fail(['starts', rows])
    next += n
  }
  if (next !== shard.total) fail(['gap', rows])
  const own = (t) => ({ data: t.data.subarray((t.size / t.shape[0]) * shard.start, (t.size / t.shape[0]) * (shard.start + length)) })
  if (bytes(own(whole.value.x)) !== bytes(part.value.x) || bytes(own(whole.value.y)) !== bytes(part.value.y)) fail('values')
  if (told(whole.value) !== told(part.value)) fail([told(whole.value), told(part.value)])
  if (!(part.value instanceof Dataset)) fail('no data set')
}
const all = await distributed.gather(wrong)
if (rank === 0) console.log(JSON.stringify({ wrong: all.flat(), good, refused }))
