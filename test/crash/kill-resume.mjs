/**
 * Kills a training with checkpoints at many moments, lets it go on each time, and compares its final state with that of a
 * training that was never killed: `node test/crash/kill-resume.mjs [KILLS]` (50). Every second kill is made by the training
 * itself between the write, the flush and the rename of a checkpoint; the others come from outside at any time. Exits with 1
 * where a state differs by a bit or a checkpoint cannot be read.
 */

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const kills = Number(process.argv[2] ?? 50)
const child = fileURLToPath(new URL('child.mjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'wengert-crash-'))

/** Runs the training; resolves to how it ended. `after`: milliseconds from the first update to a SIGKILL. */
function train(path, { stage, count, after } = {}) {
  return new Promise((resolve) => {
    const running = spawn(process.execPath, [child, path, ...(stage ? [stage, String(count)] : [])], { stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, err, timer] = ['', '', undefined]
    running.stderr.on('data', (text) => {
      err += text
    })
    running.stdout.on('data', (text) => {
      out += text
      if (after !== undefined && !timer && out.includes('training')) timer = setTimeout(() => running.kill('SIGKILL'), after)
    })
    running.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, out, err, from: Number(/from (\d+)/.exec(out)?.[1] ?? -1) })
    })
  })
}

// A sequence of its own (a linear congruence), so that a run can be made again.
let state = 12345
const random = (n) => {
  state = (state * 1103515245 + 12345) % 2147483648
  return Math.floor((state / 2147483648) * n)
}

const started = performance.now()
const whole = await train(join(folder, 'whole'))
if (whole.code !== 0) throw new Error(whole.err)
const took = performance.now() - started
const expected = readFileSync(join(folder, 'whole.final'))

let [made, injected, finished, wrong, unreadable, round] = [0, 0, 0, 0, 0, 0]
const stages = ['written', 'flushed', 'renamed']
let path = join(folder, 'run-0')

async function finish() {
  const last = await train(path)
  if (last.code !== 0) {
    unreadable++
    console.error(last.err)
  } else {
    finished++
    if (!readFileSync(`${path}.final`).equals(expected)) wrong++
  }
  path = join(folder, `run-${++round}`)
}

/** Windows has no signals: a process that ends itself by one exits with a code, without a word. */
const killed = ({ code, signal, err }) => signal === 'SIGKILL' || (process.platform === 'win32' && code !== 0 && err === '')

while (made < kills) {
  // Where the training cannot exchange the functions of files (Bun), it never kills itself.
  if (round > 20 * kills) throw new Error(`${round} trainings, and ${made} kills: this runtime does not let a training end within a write`)
  const inside = made % 2 === 0
  // Few enough writes that a training is killed several times before it is through.
  const how = inside ? { stage: stages[random(3)], count: 1 + random(30) } : { after: random(took / 2) }
  const ended = await train(path, how)
  if (killed(ended)) {
    made++
    if (inside) injected++
    if (random(5) === 0) await finish()
  } else if (ended.code === 0) {
    // It was through before it was killed.
    finished++
    if (!readFileSync(`${path}.final`).equals(expected)) wrong++
    path = join(folder, `run-${++round}`)
  } else {
    unreadable++
    console.error(ended.err)
    path = join(folder, `run-${++round}`)
    made++
  }
}
if (existsSync(path)) await finish()
rmSync(folder, { recursive: true })
console.log(
  `${made} kills, ${injected} of them between write, flush and rename: ${finished} trainings finished, ${wrong} differ, ${unreadable} unreadable checkpoints`,
)
process.exit(wrong + unreadable > 0 || finished === 0 ? 1 : 0)
