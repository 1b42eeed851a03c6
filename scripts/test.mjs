/**
 * The whole suite: lint, types (tests included), the native build's outcome, then vitest, which gets any arguments:
 * `npm test -- test/architecture.test.ts -t cycles`. The last line is the count, `N passed, N failed[, N skipped]`: vitest's own,
 * plus one for each of the checks before it. To add a check: a line in `checks`.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const bin = (...path) => join(root, 'node_modules', ...path)

/** Runs a Node program; resolves to whether it exited with 0, and what it printed where that was not shown. */
function run(args, show = false) {
  return new Promise((done) => {
    let log = ''
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'] })
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text) => (log += text))
    child.on('error', (error) => done({ ok: false, log: `${error.message}\n` }))
    child.on('close', (code) => done({ ok: code === 0, log }))
  })
}

/** The addon of these sources, as the set-up left it: built, failed, or missing where the machine has no tools for it. */
async function nativeBuild() {
  let stamp
  try {
    stamp = JSON.parse(readFileSync(join(root, '.cache', 'setup', 'native.json'), 'utf8'))
  } catch {
    return { skipped: true, log: 'the set-up was not asked for it' }
  }
  if (stamp.status === 'missing') return { skipped: true, log: `not built: this machine lacks ${stamp.missing}` }
  return { ok: stamp.status === 'built', log: 'the addon does not build: see .cache/setup/native.log\n' }
}

const checks = [
  { name: 'lint', check: () => run([bin('@biomejs', 'biome', 'bin', 'biome'), 'check', '--error-on-warnings', '.']) },
  { name: 'types', check: () => run([bin('typescript', 'bin', 'tsc'), '-p', 'tsconfig.test.json']) },
  { name: 'native build', check: nativeBuild },
]

const count = { passed: 0, failed: 0, skipped: 0 }

for (const { name, result } of await Promise.all(checks.map(async ({ name, check }) => ({ name, result: await check() })))) {
  count[result.skipped ? 'skipped' : result.ok ? 'passed' : 'failed']++
  if (result.skipped) console.log(`- ${name}: ${result.log}`)
  else if (result.ok) console.log(`✓ ${name}`)
  else console.log(`${result.log}✗ ${name}`)
}

const folder = mkdtempSync(join(tmpdir(), 'wengert-test-'))
const file = join(folder, 'report.json')
const vitest = [bin('vitest', 'vitest.mjs'), 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
const { ok } = await run([...vitest, ...process.argv.slice(2)], true)
let ran = 0
try {
  const report = JSON.parse(readFileSync(file, 'utf8'))
  // A file that fails before its first test is one failure; vitest counts no test in it.
  const broken = report.testResults.filter(
    (one) => one.status === 'failed' && !one.assertionResults.some((test) => test.status === 'failed'),
  )
  count.passed += report.numPassedTests
  count.failed += report.numFailedTests + broken.length
  count.skipped += report.numPendingTests + report.numTodoTests
  ran = report.numPassedTests + report.numFailedTests + broken.length
  // What no test is charged with: an error after the tests, a process that died.
  if (!ok && report.numFailedTests + broken.length === 0) count.failed++
} catch {
  count.failed++
  console.log('✗ vitest left no report')
}
rmSync(folder, { recursive: true, force: true })

const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : ''
console.log(`${count.passed} passed, ${count.failed} failed${skipped}`)
process.exitCode = count.failed > 0 || ran === 0 ? 1 : 0
