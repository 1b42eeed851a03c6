#!/usr/bin/env node
/** The command `wengert`. To add a subcommand: a line in `commands`, a file beside this one. */

import { parseArgs } from 'node:util'
import { describe } from '../util/options.js'
import { doctor } from './doctor.js'

const commands: Record<string, { says: string; run: (options: { json: boolean }) => Promise<number> }> = {
  doctor: { says: 'what the library found on this machine, whether both engines learn, and what to do', run: doctor },
}

const help = `Usage: wengert <command> [--json]\n\n${Object.entries(commands)
  .map(([name, { says }]) => `  ${name.padEnd(10)}${says}`)
  .join('\n')}\n`

async function main(): Promise<number> {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse()
  } catch (error) {
    process.stderr.write(`wengert: ${(error as Error).message}\n\n${help}`)
    return 64
  }
  const [name] = parsed.positionals
  const command = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command && !parsed.values.help) return command.run(parsed.values)
  const asked = parsed.values.help
  ;(asked ? process.stdout : process.stderr).write(
    name !== undefined && !command ? `wengert: unknown command ${describe(name)}\n\n${help}` : help,
  )
  return asked ? 0 : 64
}

function parse() {
  return parseArgs({
    allowPositionals: true,
    options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
  })
}

process.exitCode = await main()
