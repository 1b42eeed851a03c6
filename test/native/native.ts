/** What the tests of the native side share: the addon where there is one, the words of programs, and child processes. */

import { spawnSync } from 'node:child_process'
import { describe } from 'vitest'
import type { Backend } from '../../lib/backend/backend.js'
import { encodeProgram, type KernelNumbers } from '../../lib/backend/native/encode.js'
import { loadNativeBackend } from '../../lib/backend/native/engine.js'
import type { Program } from '../../lib/backend/program.js'
import type { Addon } from '../../lib/native/addon.js'
import { addonFile, loadAddon } from '../../lib/native/load.js'

interface Native {
  addon: Addon
  backend: Backend
  numbers: KernelNumbers
  file: string
}

function find(): Native | Error {
  try {
    const addon = loadAddon()
    const numbers = new Map(addon.describe().kernels.map((name, i) => [name, i]))
    return { addon, backend: loadNativeBackend(), numbers, file: addonFile() }
  } catch (error) {
    return error as Error
  }
}

const found = find()

/** A suite that is skipped, with the reason in its name, where there is no binary. */
export function onNative(title: string, body: (native: Native) => void): void {
  if (found instanceof Error)
    describe.skip(`${title} (skipped: ${found.message.split('\n')[0]})`, () => body(undefined as unknown as Native))
  else describe(title, () => body(found))
}

/** For the name of a test that needs something: nothing where that is there, else why it is skipped, which is printed too. */
export function unless(there: boolean, reason: string): string {
  if (there) return ''
  console.log(`skipped: ${reason}`)
  return ` (skipped: ${reason})`
}

export const wordsOf = ({ numbers }: Native, program: Program): Float64Array => encodeProgram(numbers, program)

/** Runs a script (CommonJS) in a process of its own, with `given` as its first argument. Resolves to what became of it. */
export function runScript(
  script: string,
  given: unknown,
  flags: readonly string[] = [],
): { status: number | null; signal: string | null; output: string } {
  const args = [...flags, '-e', script, '--', JSON.stringify(given)]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 30_000 })
  return { status, signal, output: `${stdout}${stderr}` }
}
