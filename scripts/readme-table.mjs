/**
 * Writes the tables of times in docs/performance.md, each between its marks, from a run of the bench:
 *
 *   npm run --silent bench -- --json | node scripts/readme-table.mjs
 *   npm run --silent bench:peers -- --json | node scripts/readme-table.mjs
 *
 * It reads the last line. A run without the native engine, or of some of the workloads, is refused.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const networks = {
  W0: 'XOR, 2-3-1, sigmoid, batch 1: a fit of 20,000 epochs',
  W1: '2-2-1, sigmoid, batch 1',
  W2: '64-32-10, batch 1',
  W3: '64-32-10, batch 32',
  W4: '784-128-10, batch 128',
  W5: '784-512-256-10, batch 128',
  W6: '1024-1024-1024-1024-10, batch 256',
  W7: '64-64-1, tanh, full batch of 100,000',
  W8: '64-32-10, from a stream, one sample at a time',
  W9: '1×28×28, two convolutions, batch 64',
  W10: '784-128-10, one prediction',
  W11: '3×32×32, four convolutions, batch 32',
  W12a: 'LSTM 16→128, 50 steps, batch 32',
  W12b: 'LSTM 8→32, 30 steps, batch 8',
  W12c: 'GRU 16→128, 50 steps, batch 32',
  W13a: 'transformer of 64, 64 steps, batch 32',
  W13b: 'transformer of 256, 128 steps, batch 16',
  W15: '4×512 signals, two convolutions, batch 32',
  DWS: '3×32×32, a depthwise separable block, batch 32',
  RES8: '3×32×32, a residual block, batch 32',
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

function time(microseconds) {
  if (microseconds >= 1e6) return `${(microseconds / 1e6).toPrecision(3)} s`
  if (microseconds >= 1e5) return `${Math.round(microseconds / 1000)} ms`
  return microseconds >= 1000 ? `${(microseconds / 1000).toPrecision(3)} ms` : `${Number(microseconds.toPrecision(3))} µs`
}

function times(ratio, digits = 2) {
  if (ratio >= 1e4) return `${Math.round(ratio / 1000).toLocaleString('en')},000 ×`
  return `${ratio >= 10 ** digits ? Math.round(ratio).toLocaleString('en') : ratio.toPrecision(digits)} ×`
}

const none = '–'

function enginesTable({ machine, results }) {
  const rows = Object.entries(networks).map(([workload, network]) => {
    const of = (engine) => results.find((r) => r.workload === workload && r.variant === 'sgd' && r.engine === engine)
    const native = of('native') ?? fail(`no result of ${workload} on the native engine`)
    const cells = ['native', 'js', 'plain', 'floor'].map((engine) => (of(engine) ? time(of(engine).microseconds) : none))
    const ratio = native.floorRatio ? times(native.floorRatio, 3) : none
    return [network, ...cells, ratio, times(native.timesFasterThanJs)]
  })
  const { threads } = results.find(({ engine }) => engine === 'native')
  const head = [
    'network',
    'native engine',
    'JavaScript engine',
    'plain loops',
    'products alone',
    'native : products',
    'native faster than JavaScript',
  ]
  const where = `${machine.cpu}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, Node ${machine.node}, ${machine.blas}.`
  return { mark: 'times', head, rows, where }
}

/** How many times longer each peer takes; of TensorFlow.js's two engines the faster one. */
function peersTable({ machine, results }) {
  const columns = {
    'TensorFlow.js': ['tfjs wasm', 'tfjs cpu'],
    'brain.js': ['brain.js'],
    synaptic: ['synaptic'],
    'jax-js': ['jax-js'],
    'node-mlx': ['node-mlx'],
    PyTorch: ['PyTorch'],
    'scikit-learn': ['scikit-learn'],
  }
  const rows = Object.entries(networks).map(([workload, network]) => {
    const of = (peer) => results.find((r) => r.workload === workload && r.variant === 'sgd' && r.peer === peer)
    const own = of('wengert') ?? fail(`no result of ${workload} by the library`)
    const cells = Object.values(columns).map((peers) => {
      const ratios = peers.flatMap((peer) => of(peer)?.timesSlower ?? [])
      return ratios.length > 0 ? times(Math.min(...ratios)) : none
    })
    return [network, time(own.microseconds), ...cells]
  })
  const versions = new Map(results.filter(({ peer }) => peer !== 'wengert').map(({ peer, version }) => [peer, version]))
  const { threads } = machine
  const where = `${machine.cpu}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, Node ${machine.node}; ${Array.from(versions, ([peer, version]) => `${peer} ${version}`).join(', ')}.`
  return { mark: 'peers', head: ['network', 'wengert', ...Object.keys(columns)], rows, where }
}

const json = lastLine()
const { mark, head, rows, where } = json.results.some(({ peer }) => peer) ? peersTable(json) : enginesTable(json)
const table = [
  '',
  `| ${head.join(' | ')} |`,
  `|${head.map((_, col) => (col === 0 ? '---' : '--:')).join('|')}|`,
  ...rows.map((row) => `| ${row.join(' | ')} |`),
  '',
  where,
  '',
].join('\n')

const file = new URL('../docs/performance.md', import.meta.url)
const [start, end] = [`<!-- ${mark} -->\n`, `<!-- /${mark} -->`]
const text = readFileSync(file, 'utf8')
const [from, to] = [text.indexOf(start) + start.length, text.indexOf(end)]
if (from < start.length || to < from) fail(`expected the marks ${start.trim()} and ${end} in docs/performance.md`)
writeFileSync(file, `${text.slice(0, from)}${table}${text.slice(to)}`)
