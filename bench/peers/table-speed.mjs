/**
 * Fit and transform of 1,000,000 rows of 20 mixed columns, beside pandas and scikit-learn on the same CSV, in turns; and one
 * record through a table of 20 numbers and a 20-64-2 network. `node bench/peers/table-speed.mjs [--rows 1000000]`
 */
import { spawnSync } from 'node:child_process'
import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { fitTable, loadModel, nn, Random, readTable, saveModel } from '../../dist/lib/index.js'

// In a process of its own: the most memory that reading, fitting and encoding take beyond what Node takes anyway.
if (process.argv[2] === '--memory') {
  const most = () => process.resourceUsage().maxRSS * 1024
  const bare = most()
  const all = await readTable(process.argv[3])
  const [reading, bytes] = [most() - bare, all.bytes]
  const { x } = fitTable(all, { target: 'y' })(all)
  console.log(JSON.stringify({ reading, bytes, x: x.shape, most: most() - bare }))
  process.exit()
}

const flag = process.argv.indexOf('--rows')
const count = flag > 0 ? Number(process.argv[flag + 1]) : 1_000_000
const folder = mkdtempSync(join(tmpdir(), 'table-speed-'))
const file = join(folder, 'rows.csv')

function* lines() {
  yield `${[...Array.from({ length: 10 }, (_, i) => `n${i}`), ...Array.from({ length: 6 }, (_, i) => `c${i}`), 'd0', 'd1', 'b0', 'id', 'y'].join(',')}\n`
  let state = 12345
  const u = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  for (let i = 0; i < count; i++) {
    const numbers = Array.from({ length: 10 }, (_, k) => (u() < 0.05 ? '' : k % 2 ? Math.floor(u() * 1000) : (u() * 100 - 50).toFixed(3)))
    const names = [4, 8, 12, 16, 12, 8].map((n, k) => (u() < 0.05 ? '' : `v${k}_${Math.floor(u() * u() * n)}`))
    const dates = [0, 1].map(() => new Date(Date.UTC(2020, 0, 1) + Math.floor(u() * 1500) * 86_400_000).toISOString().slice(0, 10))
    yield `${[...numbers, ...names, ...dates, u() < 0.3 ? 'yes' : 'no', `K${i}`, u() < 0.2 ? 'yes' : 'no'].join(',')}\n`
  }
}
await pipeline(Readable.from(lines()), createWriteStream(file))
const size = statSync(file).size
console.log(`${count} rows, ${(size / 1e6).toFixed(0)} MB of CSV`)

const seconds = (start) => (performance.now() - start) / 1000
const memory = JSON.parse(
  spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--memory', file], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n')
    .pop(),
)
const megabytes = (n) => `${(n / 1e6).toFixed(0)} MB (${(n / size).toFixed(2)} x)`
console.log(
  `memory beyond bare Node: the table ${megabytes(memory.bytes)}, x [${memory.x}] ${megabytes(memory.x[0] * memory.x[1] * 4)}, at most ${megabytes(memory.reading)} to read, ${megabytes(memory.most)} in all`,
)
let start = performance.now()
const rows = await readTable(file)
const reading = seconds(start)
const processor = (before) => {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}
for (let turn = 0; turn < 3; turn++) {
  start = performance.now()
  const before = process.cpuUsage()
  const table = fitTable(rows, { target: 'y' })
  const fitting = seconds(start)
  start = performance.now()
  table(rows)
  const [transforming, cpu] = [seconds(start), processor(before)]
  const peer = spawnSync('/usr/bin/python3', [fileURLToPath(new URL('./table-speed.py', import.meta.url)), file], { encoding: 'utf8' })
  if (peer.status !== 0) throw new Error(peer.stderr)
  const theirs = JSON.parse(peer.stdout)
  const both = fitting + transforming
  console.log(
    `fit ${fitting.toFixed(2)} s, transform ${transforming.toFixed(2)} s: ${both.toFixed(2)}; pandas + scikit-learn ${theirs.fit.toFixed(2)} s: ratio ${(both / theirs.fit).toFixed(2)}, of processor time ${(cpu / theirs.cpu).toFixed(2)} (reading: ${reading.toFixed(1)} s, theirs ${theirs.read.toFixed(1)})`,
  )
}

const rng = new Random(1)
const numbers = await readTable(
  Array.from({ length: 200 }, (_, i) =>
    Object.fromEntries([...Array.from({ length: 20 }, (_unused, k) => [`n${k}`, Math.sin(i * (k + 1))]), ['y', i % 2 ? 'yes' : 'no']]),
  ),
)
const table = fitTable(numbers, { target: 'y' })
const model = new nn.Sequential(table.input(), new nn.Linear(table.width, 64, { rng }), new nn.ReLU(), new nn.Linear(64, 2, { rng }))
await saveModel(model, join(folder, 'm.wengert'), { table })
const served = await loadModel(join(folder, 'm.wengert'))
const { y: _, ...record } = numbers.record(3)
for (let turn = 0; turn < 5; turn++) {
  start = performance.now()
  const before = process.cpuUsage()
  for (let i = 0; i < 20_000; i++) served.predictRecords([record])
  console.log(
    `a record through table and 20-64-2: ${(seconds(start) / 0.02).toFixed(1)} µs, ${(processor(before) / 0.02).toFixed(1)} µs of the processor`,
  )
}
rmSync(folder, { recursive: true })
