/** Both fuzzers in turn: `npm run test:fuzz [-- --calls 20000 --rounds 300 --seed 1]`. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const text = { type: 'string' }
const { values } = parseArgs({ options: { calls: text, rounds: text, seed: text } })
const run = (name, ...options) => {
  const args = options.flatMap((option) => (values[option] === undefined ? [] : [`--${option}`, values[option]]))
  const { status } = spawnSync(process.execPath, [fileURLToPath(new URL(name, import.meta.url)), ...args], { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
run('addon-fuzz.mjs', 'calls', 'seed')
run('library-fuzz.mjs', 'rounds', 'seed')
