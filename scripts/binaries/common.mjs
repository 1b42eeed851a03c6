/** What the scripts of the release binaries share: folders, running a program. */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const cache = join(root, '.cache', 'binaries')

export function fail(message) {
  process.stderr.write(`binaries: ${message}\n`)
  process.exit(1)
}

export const say = (text) => process.stderr.write(`${text}\n`)

/** Runs a program to its end; its output where it succeeds. Else the end of what it said is shown, and the script is over. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options })
  if (result.error) fail(`${command} could not be started: ${result.error.message}`)
  if (result.status !== 0) {
    const said = `${result.stdout ?? ''}${result.stderr ?? ''}`.trimEnd().split('\n').slice(-25).join('\n')
    fail(`${command} ${args.join(' ')} failed:\n${said}`)
  }
  return result.stdout
}

/** Whether a program is there: --version succeeds, or fails for another reason than that. */
export const found = (command) => spawnSync(command, ['--version']).error === undefined

/** The folder of a package that is installed here. */
export const packageOf = (name) => dirname(createRequire(join(root, 'package.json')).resolve(`${name}/package.json`))
