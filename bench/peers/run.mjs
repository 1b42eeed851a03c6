/**
 * `npm run bench:peers`: the bench's workloads on other libraries, each in a process of its own and as a good user of it would
 * write them, with the library before and after each. Every peer starts from the same parameters, makes the same first updates
 * and tells the cost that it has come to. To add a peer: a file that calls `measure` (task.mjs) and a line in `peers`.
 */

import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { time } from '../../dist/bench/results.js'
import { titleOf, workloads } from '../../dist/bench/workloads.js'
import { judged, taskOf } from './task.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const own = 'wengert'

/** What runs each peer; of those in Python, the module that must be there. */
const peers = {
  [own]: { file: 'wengert.mjs' },
  'tfjs wasm': { file: 'tfjs.mjs', package: '@tensorflow/tfjs-backend-wasm', env: { TFJS_BACKEND: 'wasm' } },
  'tfjs cpu': { file: 'tfjs.mjs', package: '@tensorflow/tfjs', env: { TFJS_BACKEND: 'cpu' } },
  'brain.js': { file: 'brain.mjs', package: 'brain.js' },
  synaptic: { file: 'synaptic.mjs', package: 'synaptic' },
  'jax-js': { file: 'jaxjs.mjs', package: '@jax-js/jax' },
  'node-mlx': { file: 'mlx.mjs', package: '@frost-beta/mlx' },
  PyTorch: { python: 'torch' },
  'scikit-learn': { python: 'sklearn' },
}

/** How many times faster than a peer of the table the library is meant to be. */
const targets = {
  W0: { synaptic: 1, PyTorch: 1000 },
  W1: { synaptic: 1, PyTorch: 1000 },
  W2: { 'brain.js': 20, PyTorch: 100 },
  W3: { 'scikit-learn': 15, PyTorch: 15 },
  W4: { PyTorch: 1.25 },
  W5: { PyTorch: 1.15 },
  'W5 adam': { PyTorch: 1.3 },
  W6: { PyTorch: 1.1 },
  W7: { PyTorch: 2 },
  W10: { PyTorch: 6, 'tfjs wasm': 6, 'jax-js': 6, 'node-mlx': 6 },
}

const help = `Runs the bench's workloads on other libraries.

  npm run bench:peers                     all workloads, all peers that can be had
  npm run bench:peers -- --only W3        one workload; may be repeated
  npm run bench:peers -- --peer PyTorch   one peer; may be repeated: ${Object.keys(peers)
    .filter((name) => name !== own)
    .join(', ')}
  npm run bench:peers -- --threads 2      of the library and of PyTorch and scikit-learn (1 by default)
  npm run bench:peers -- --seconds 0.5    what a turn aims at
  npm run bench:peers -- --json           ends with one line of JSON

W8 is a stream for the JavaScript libraries, a loop of updates of one sample for the others.
Packages are installed into bench/peers/node_modules when first needed, without their install scripts. PyTorch and scikit-learn
are those of /usr/bin/python3, or of the command in WENGERT_PYTHON.
`

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    peer: { type: 'string', multiple: true, default: [] },
    threads: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '0.5' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (options.help) {
  process.stdout.write(help)
  process.exit(0)
}
const unknown = [
  ...options.only.filter((name) => !workloads.some((w) => w.name.toUpperCase() === name.toUpperCase())),
  ...options.peer.filter((name) => !peers[name]),
]
if (unknown.length > 0) {
  console.error(`bench:peers: expected a workload or peer that there is, got '${unknown[0]}'. What there is: npm run bench:peers -- --help`)
  process.exit(2)
}

const python = process.env.WENGERT_PYTHON ?? '/usr/bin/python3'
const seconds = Number(options.seconds)
const threads = Number(options.threads)

function install() {
  const marker = join(here, 'node_modules', '.package-lock.json')
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(join(here, 'package.json')).mtimeMs) return undefined
  process.stderr.write('bench:peers: installing the peers (npm install) … ')
  try {
    execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'], { cwd: here, stdio: 'pipe' })
    process.stderr.write('done\n')
    return undefined
  } catch (error) {
    process.stderr.write('failed\n')
    return `npm install failed: ${
      String(error.stderr)
        .split('\n')
        .find((line) => line.trim()) ?? error.message
    }`
  }
}

/** Versions of the peers that can be had, and the reasons why the others cannot. */
function findPeers() {
  const failed = install()
  const found = {}
  const missing = {}
  for (const [name, peer] of Object.entries(peers)) {
    if (options.peer.length > 0 && name !== own && !options.peer.includes(name)) continue
    try {
      if (peer.python) {
        const code = `import ${peer.python}; print(${peer.python}.__version__)`
        found[name] = execFileSync(python, ['-c', code], { stdio: ['ignore', 'pipe', 'pipe'] })
          .toString()
          .trim()
      } else {
        const manifest = peer.package ? join(here, 'node_modules', peer.package, 'package.json') : join(here, '..', '..', 'package.json')
        found[name] = JSON.parse(readFileSync(manifest, 'utf8')).version
      }
    } catch (error) {
      const lines = String(error.stderr ?? '')
        .trim()
        .split('\n')
      missing[name] = (peer.python && lines.at(-1)) || failed || error.message
    }
  }
  return { found, missing }
}

const run = promisify(execFile)

async function measured(name, workload, variant, folder) {
  const peer = peers[name]
  const limit = { timeout: 120_000, maxBuffer: 1 << 24, killSignal: 'SIGKILL' }
  try {
    const { stdout } = peer.python
      ? await run(python, [join(here, 'python.py'), peer.python, folder], limit)
      : await run(process.execPath, [join(here, peer.file), workload.name, variant, String(seconds)], {
          ...limit,
          env: { ...process.env, ...peer.env, WENGERT_THREADS: String(threads) },
        })
    return JSON.parse(stdout.trim().split('\n').pop())
  } catch (error) {
    if (error.killed) return { left: 'not done within 120 s' }
    const lines = String(error.stderr || error.message)
      .split('\n')
      .filter((line) => line.trim())
    return { left: lines.find((line) => /Error/.test(line))?.trim() ?? lines.at(-1) }
  }
}

/** The task as files, for Python. */
function write(task, folder) {
  const { x, y, parameters, rows: _, ...rest } = task
  const bytes = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength)
  writeFileSync(join(folder, 'x'), bytes(x))
  writeFileSync(join(folder, 'y'), bytes(y))
  writeFileSync(join(folder, 'parameters'), Buffer.concat(parameters.map(bytes)))
  writeFileSync(join(folder, 'task.json'), JSON.stringify({ ...rest, threads, seconds, judged }))
}

const { found, missing } = findPeers()
const machine = { cpu: cpus()[0]?.model.trim(), node: process.versions.node, threads, load: Number(loadavg()[0].toFixed(2)) }
console.log(`${machine.cpu}, Node ${machine.node}, ${threads} thread${threads === 1 ? '' : 's'}, load ${machine.load} at the start`)
console.log(
  `peers: ${Object.entries(found)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')}`,
)
for (const [name, reason] of Object.entries(missing)) console.log(`not here: ${name}: ${reason}`)
console.log()

const results = []
const chosen = workloads.filter(
  ({ name }) => options.only.length === 0 || options.only.some((one) => one.toUpperCase() === name.toUpperCase()),
)
for (const workload of chosen) {
  for (const variant of ['sgd', ...(workload.variants ?? []).filter((v) => v === 'adam')]) {
    const label = variant === 'sgd' ? workload.name : `${workload.name} ${variant}`
    const task = taskOf(workload.name, variant)
    const folder = mkdtempSync(join(tmpdir(), 'wengert-bench-'))
    write(task, folder)
    // The library runs before and after each peer, so that both meet the same machine.
    const others = Object.keys(found).filter((name) => name !== own)
    const first = await measured(own, workload, variant, folder)
    const owns = [first]
    const measures = []
    for (const name of others) {
      const peer = await measured(name, workload, variant, folder)
      if (!peer.left) owns.push(await measured(own, workload, variant, folder))
      const beside = owns.slice(-2).flatMap(({ microseconds }) => (microseconds > 0 ? [microseconds] : []))
      const ratio = beside.length > 0 ? peer.microseconds / Math.exp(beside.reduce((sum, t) => sum + Math.log(t), 0) / beside.length) : null
      measures.push([name, { ...peer, ratio }])
    }
    rmSync(folder, { recursive: true })
    const sorted = owns.flatMap(({ microseconds }) => (microseconds > 0 ? [microseconds] : [])).sort((x, y) => x - y)
    const failed = owns.find(({ left }) => left)
    if (failed) console.log(`${own} failed in a turn: ${failed.left}`)
    const mine =
      sorted.length > 0 ? { microseconds: sorted[sorted.length >> 1], cost: first.cost ?? null, ratio: null } : { left: failed?.left }
    console.log(`${label.padEnd(8)}${titleOf(workload)}${variant === 'adam' ? '; Adam' : ''}`)
    for (const [name, { microseconds, cost, left, ratio }] of [[own, mine], ...measures]) {
      if (left) {
        console.log(`    ${name.padEnd(14)} left out: ${left}`)
        continue
      }
      const target = targets[label]?.[name]
      const told = cost === null || cost === undefined ? '' : `cost ${cost.toPrecision(5)} after ${task.checked} updates`
      const goal = target === undefined || ratio === null ? '' : `  (meant: ${target} ×: ${ratio >= target ? 'met' : 'missed'})`
      const faster = ratio === null ? '' : `${ratio.toPrecision(3)} × the library's time${goal}`
      console.log(`    ${name.padEnd(14)} ${time(microseconds).padStart(9)}  ${told.padEnd(34)}${faster}`.trimEnd())
      results.push({
        workload: workload.name,
        variant,
        peer: name,
        version: found[name],
        threads,
        microseconds,
        cost,
        timesSlower: ratio,
      })
    }
    console.log()
  }
}
if (options.json) console.log(JSON.stringify({ machine, missing, results }))
