/**
 * Writes the README's table of times from a run of the bench, between its two `times` marks:
 *
 *   npm run --silent bench -- --json | node scripts/readme-table.mjs
 *
 * It reads the last line. A run without the native engine, or of some of the workloads, is refused.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const networks = {
  W1: '2-2-1, sigmoid, batch 1',
  W2: '64-32-10, batch 1',
  W3: '64-32-10, batch 32',
  W4: '784-128-10, batch 128',
  W5: '784-512-256-10, batch 128',
}

function fail(message) {
  console.error(`readme-table: ${message}`)
  process.exit(1)
}

function lastLine() {
  const line = readFileSync(0, 'utf8').trimEnd().split('\n').pop() ?? ''
  try {
    return JSON.parse(line)
  } catch {
    return fail(`expected a line of JSON at the end, got '${line.slice(0, 60)}'; was the bench run with --json?`)
  }
}

const { machine, results } = lastLine()

function time(microseconds) {
  if (microseconds >= 1e5) return `${Math.round(microseconds / 1000)} ms`
  return microseconds >= 1000 ? `${(microseconds / 1000).toPrecision(3)} ms` : `${Number(microseconds.toPrecision(3))} µs`
}
const digits = (x, n) => (x >= 10 ** n ? String(Math.round(x)) : x.toPrecision(n))

const rows = Object.entries(networks).map(([workload, network]) => {
  const of = (engine) =>
    results.find((result) => result.workload === workload && result.engine === engine) ?? fail(`no result of ${workload} on ${engine}`)
  const [native, js, plain, floor] = ['native', 'js', 'plain', 'floor'].map(of)
  const times = [native, js, plain, floor].map(({ microseconds }) => time(microseconds))
  return [network, ...times, `${digits(native.floorRatio, 3)} ×`, `${digits(native.timesFasterThanJs, 2)} ×`]
})
const head = [
  'network',
  'native engine',
  'JavaScript engine',
  'plain loops',
  'products alone',
  'native : products',
  'native faster than JavaScript',
]
const { threads } = results.find(({ engine }) => engine === 'native')
const table = [
  '',
  `| ${head.join(' | ')} |`,
  `|${head.map((_, col) => (col === 0 ? '---' : '--:')).join('|')}|`,
  ...rows.map((row) => `| ${row.join(' | ')} |`),
  '',
  `${machine.cpu}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, Node ${machine.node}, ${machine.blas}.`,
  '',
].join('\n')

const file = new URL('../README.md', import.meta.url)
const [start, end] = ['<!-- times -->\n', '<!-- /times -->']
const readme = readFileSync(file, 'utf8')
const [from, to] = [readme.indexOf(start) + start.length, readme.indexOf(end)]
if (from < start.length || to < from) fail(`expected the marks ${start.trim()} and ${end} in README.md`)
writeFileSync(file, `${readme.slice(0, from)}${table}${readme.slice(to)}`)
