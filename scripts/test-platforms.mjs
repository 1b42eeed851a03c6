/**
 * Runs the release binaries of other platforms on one Linux machine: Windows by wine, musl by a runtime for Alpine, arm64 by qemu. For each:
 * the products of every core, the tests of the engine and of training, the README's quick start out of the packed tarball, exits in
 * the middle of training.
 *
 *   npm run test:platforms                                 all that are at hand; what is not is skipped, with the reason
 *   npm run test:platforms -- --only win32-x64             one of win32-x64, linux-x64-musl, linux-arm64
 *   npm run test:platforms -- --node 22                    with one version of Node alone
 *   npm run test:platforms -- --tests test/backend         some of the tests
 *   npm run test:platforms -- --part exits                 some of the parts: kernels, start, exits, tests
 *   npm run test:platforms -- --quick                      kernels, quick start and three exits, no tests
 *
 * macOS cannot be run here: its binary is checked as it is built, and tested on the machines of the release workflow.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { coresFor, forced, programOf } from './package/kernels.mjs'
import { pack } from './package/pack.mjs'
import { startRegistry } from './package/registry.mjs'
import { install, quickStart, root } from './package/stage.mjs'
import { alpine } from './platforms/musl.mjs'
import { arm64 } from './platforms/qemu.mjs'
import { run } from './platforms/run.mjs'
import { windows } from './platforms/wine.mjs'

const all = [windows, alpine, arm64]
const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: all.map(({ name }) => name) },
    node: { type: 'string' },
    tests: { type: 'string', multiple: true, default: ['test/native', 'test/backend', 'test/train'] },
    part: { type: 'string', multiple: true, default: ['kernels', 'start', 'exits', 'tests'] },
    quick: { type: 'boolean', default: false },
  },
})
const wants = (part) => values.part.includes(part) && !(part === 'tests' && values.quick)
const count = { passed: 0, failed: 0, skipped: 0 }

function report(name, right, told = '') {
  count[right ? 'passed' : 'failed']++
  console.log(`${right ? '✓' : '✗'} ${name}${told ? `: ${told}` : ''}`)
}
function skip(name, reason) {
  count.skipped++
  console.log(`- ${name}: skipped: ${reason}`)
}
const end = (text) => text.trimEnd().split('\n').slice(-15).join('\n')

/** What this processor can run; another architecture is emulated, and has no more than the plainest. */
function isaHere(arch) {
  const flags = arch === process.arch ? readFileSync('/proc/cpuinfo', 'utf8') : ''
  return /\bavx512vl\b/.test(flags) ? 'avx512' : /\bavx2\b/.test(flags) ? 'avx2' : 'baseline'
}

function kernels({ name, kernels: { command, env, flags = [], minutes } }) {
  const program = programOf(name)
  if (!program) return skip(`${name}, kernels`, `npm run binaries -- --only ${name} was not run on this machine`)
  const [os, arch] = name.split('-')
  for (const core of coresFor(os, arch, isaHere(arch))) {
    const { status, stdout, stderr } = run([...command, program, core.names.join(), ...flags], {
      env: { ...env, ...forced(core) },
      minutes,
    })
    report(`${name}, kernels of ${core.names[0]}`, status === 0, status === 0 ? end(stdout) : `${status}\n${end(stdout + stderr)}`)
  }
}

/** The counts of the test runner, and each failure. */
function tests(name, { command, env, tests: further = [] }) {
  const args = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--pool=forks',
    '--maxWorkers=1',
    '--reporter=verbose',
    ...further,
    ...values.tests,
  ]
  const { status, late, stdout, stderr } = run([...command, ...args], { env: { ...env, NO_COLOR: '1' }, minutes: 120 })
  const number = (kind) => Number(new RegExp(`^ +Tests .*?(\\d+) ${kind}`, 'm').exec(stdout)?.[1] ?? 0)
  const failures = stdout.split('\n').filter((line) => /^ +(×|FAIL)/.test(line))
  for (const line of stdout.split('\n')) if (/^ +↓/.test(line)) console.log(line)
  count.skipped += number('skipped')
  report(
    `${name}, tests`,
    status === 0 && number('passed') > 0 && number('failed') === 0 && !/^ +Errors /m.test(stdout),
    late
      ? `${status}; the last was\n${end(stdout)}`
      : `${number('passed')} passed, ${number('failed')} failed, ${number('skipped')} skipped`,
  )
  if (failures.length > 0) console.log(failures.join('\n'))
  if (number('passed') === 0) console.log(end(stdout + stderr))
}

/** What a runtime for another system calls a path. */
const place = (platform, path) => (platform === windows ? `Z:${path.replaceAll('/', '\\')}` : path)
const address = (platform, path) => (platform === windows ? `file:///Z:${path}` : pathToFileURL(path).href)

function started(platform, name, { command, env }, project) {
  const file = join(project, 'quick-start.mjs')
  writeFileSync(file, `${quickStart()}\nconsole.log('engine', (await import('wengert')).backend().name)\n`)
  const { WENGERT_ADDON: _, ...bare } = env
  const { stdout, stderr } = run([...command, place(platform, file)], { env: bare, cwd: project })
  report(
    `${name}, quick start of the packed tarball`,
    /^engine native$/m.test(stdout),
    end(stdout + stderr)
      .split('\n')
      .at(-1),
  )
}

function exits(platform, name, { command, env }, project) {
  const times = values.quick ? 3 : 20
  const script = place(platform, join(root, 'scripts/platforms/exits.mjs'))
  const library = address(platform, join(project, 'node_modules/wengert/dist/lib/index.js'))
  for (const kind of ['exit', 'terminate']) {
    const ends = Array.from({ length: times }, (_, i) => run([...command, script, library, kind, String(15 * i)], { env, minutes: 3 }))
    const wrong = ends.filter(({ status }) => status !== 7)
    const right = times - wrong.length
    const told = [`${right} of ${times}`, ...wrong.map(({ status, stdout, stderr }) => `${status}: ${end(stdout + stderr)}`)].join('\n')
    report(`${name}, ${kind === 'exit' ? 'process.exit' : 'terminate'} in a long product`, right === times, told)
  }
}

const folder = mkdtempSync(join(tmpdir(), 'wengert-platforms-'))
let registry
try {
  for (const platform of all.filter(({ name }) => values.only.includes(name))) {
    const missing = platform.missing()
    if (missing) {
      skip(platform.name, missing)
      continue
    }
    if (wants('kernels')) kernels(platform)
    const installs = wants('start') || wants('exits')
    if (installs && !registry) {
      await pack(folder)
      registry = await startRegistry(folder)
    }
    const project = installs && install(folder, registry.address, { name: platform.name, flags: platform.flags }).project
    for (const major of values.node ? [values.node] : platform.majors) {
      const name = `${platform.name}, ${major === 'bun' ? 'Bun' : `Node ${major}`}`
      const runtime = platform.runtime(major)
      if (wants('start')) started(platform, name, runtime, project)
      if (wants('exits')) exits(platform, name, runtime, project)
      if (wants('tests')) tests(name, runtime)
    }
  }
} finally {
  registry?.stop()
  rmSync(folder, { recursive: true, force: true })
}
console.log(`${count.passed} passed, ${count.failed} failed${count.skipped ? `, ${count.skipped} skipped` : ''}`)
process.exitCode = count.failed > 0 ? 1 : 0
