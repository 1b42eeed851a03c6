#!/usr/bin/env node
/** The command `wengert`. To add a subcommand: a line in `commands`, a file beside this one. */

import { parseArgs } from 'node:util'
import { describe } from '../util/options.js'

interface Command {
  says: string
  /** Loads the command and runs it on the arguments after its name. Gives the exit code: 0, 1 for a failure, 64 for misuse. */
  run(args: readonly string[]): Promise<number>
}

const commands: Record<string, Command> = {
  train: { says: 'from a file of rows to a model', run: async (args) => (await import('./train.js')).train(args) },
  evaluate: {
    says: 'how good a model is on rows that it has not seen',
    run: async (args) => (await import('./evaluate.js')).evaluate(args),
  },
  predict: {
    says: 'rows in, rows with predictions out; files or pipes',
    run: async (args) => (await import('./predict.js')).predict(args),
  },
  inspect: { says: 'what a model file holds', run: async (args) => (await import('./inspect.js')).inspect(args) },
  launch: {
    says: 'a program as several processes that train together, over MPI',
    run: async (args) => (await import('./launch.js')).launch(args),
  },
  doctor: {
    says: 'what the library found on this machine, whether both engines learn, and what to do',
    run: async (args) => {
      const { values } = parseArgs({ args: [...args], options: { json: { type: 'boolean', default: false }, help: helpFlag } })
      return values.help ? told(0) : (await import('./doctor.js')).doctor(values)
    },
  },
}

const helpFlag = { type: 'boolean', short: 'h', default: false } as const

const help = `Usage: wengert <command> [--help] [--json]\n\n${Object.entries(commands)
  .map(([name, { says }]) => `  ${name.padEnd(10)}${says}`)
  .join('\n')}\n`

function told(code: number, message = ''): number {
  ;(code === 0 ? process.stdout : process.stderr).write(message === '' ? help : `wengert: ${message}\n\n${help}`)
  return code
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined) return told(64)
  if (name === '--help' || name === '-h') return told(0)
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!command) return told(64, name.startsWith('-') ? `Unknown option ${describe(name)}` : `unknown command ${describe(name)}`)
  try {
    return await command.run(args)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')) return told(64, (error as Error).message)
    throw error
  }
}

// A reader that has seen enough closes the pipe: whoever writes learns of it from its own write.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

process.exitCode = await main(process.argv.slice(2))
