/** A few of the kills of test/crash/kill-resume.mjs, which makes 50. */

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const harness = fileURLToPath(new URL('../crash/kill-resume.mjs', import.meta.url))

const bun = 'bun' in process.versions
const why = bun ? ' (skipped: Bun does not let functions of files be exchanged, by which a training is killed within a write)' : ''
if (bun) console.log(why)

test.skipIf(bun)(
  `killed at six moments, each training ends with the bits of one that was not${why}`,
  async () => {
    const built = existsSync(fileURLToPath(new URL('../../dist/lib/index.js', import.meta.url)))
    expect(built, 'a compiled library in dist: run npm test, or node scripts/setup.mjs').toBe(true)
    let out = ''
    const code = await new Promise((resolve) => {
      const child = spawn(process.execPath, [harness, '6'])
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (out += text))
      child.on('close', resolve)
    })
    expect(code, out).toBe(0)
    expect(out).toMatch(/^6 kills, 3 of them between write, flush and rename: \d+ trainings finished, 0 differ, 0 unreadable checkpoints$/m)
  },
  600_000,
)
