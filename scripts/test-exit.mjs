/** Every ending of test/robustness 50 times, each within 200 ms: `npm run test:exit [-- TIMES]`. */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const vitest = join('node_modules', 'vitest', 'vitest.mjs')
const env = { ...process.env, WENGERT_TIMES: process.argv[2] ?? '50' }
const { status } = spawnSync(process.execPath, [vitest, 'run', 'test/robustness'], { cwd: root, stdio: 'inherit', env })
process.exitCode = status ?? 1
