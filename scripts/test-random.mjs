/**
 * Programs, modules and models over sequences made at random, compared compiled and eager on both engines:
 *
 *   npm run test:random -- [--count N] [--from N]     10,000 from 0 by default
 *
 * One that fails is named by its number: `--from NUMBER --count 1` runs it alone.
 */
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values } = parseArgs({ options: { count: { type: 'string', default: '10000' }, from: { type: 'string', default: '0' } } })
for (const [name, value] of Object.entries(values)) {
  if (/^\d+$/.test(value)) continue
  console.error(`test:random: expected a whole number for --${name}, got ${value}`)
  process.exit(1)
}
const { status } = spawnSync(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--testTimeout=2000000000',
    'test/plan/random-programs.test.ts',
    'test/plan/random-modules.test.ts',
    'test/nn/sequence-compositions.test.ts',
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, WENGERT_RANDOM_COUNT: values.count, WENGERT_RANDOM_FROM: values.from },
  },
)
process.exit(status ?? 1)
