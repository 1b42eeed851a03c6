/** Flags of commands: parsed by Node, checked here, so that a misspelled one is told its neighbour. */

import { type ParseArgsConfig, parseArgs } from 'node:util'
import { WengertError } from '../index.js'

/** The command was called wrongly: exit code 64. */
export class Misuse extends Error {}

/** A flag as the help tells it. */
export interface Flag {
  readonly says: string
  /** What its value stands for in the help; a flag without one is a switch. */
  readonly value?: string
  readonly short?: string
  /** May be given several times. */
  readonly multiple?: boolean
}

/** What was given: positionals, and flags by name. */
export interface Given {
  readonly positionals: readonly string[]
  text(name: string): string | undefined
  /** Values with commas between; one that is a whole, such as a name with a comma, is not cut. */
  list(name: string, isWhole?: (value: string) => boolean): readonly string[]
  on(name: string): boolean
  number(name: string, rule: { min?: number; max?: number; integer?: boolean }): number | undefined
}

function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length] as number
}

/** The flags of a command, read from its arguments. Throws Misuse. */
export function given(args: readonly string[], flags: Readonly<Record<string, Flag>>): Given {
  const options: NonNullable<ParseArgsConfig['options']> = {}
  for (const [name, { value, short, multiple }] of Object.entries(flags))
    options[name] = { type: value === undefined ? 'boolean' : 'string', ...(short && { short }), ...(multiple && { multiple }) }
  let parsed: ReturnType<typeof parseArgs>
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw new Misuse(unknownFlag(error as Error, Object.keys(flags)))
  }
  const values = parsed.values as Record<string, unknown>
  const text = (name: string) => values[name] as string | undefined
  return {
    positionals: parsed.positionals,
    text,
    list: (name, isWhole = () => false) =>
      [(values[name] ?? []) as string | readonly string[]]
        .flat()
        .flatMap((value) => (isWhole(value) ? [value] : value.split(',')))
        .filter((value) => value !== ''),
    on: (name) => values[name] === true,
    number(name, { min = -Infinity, max = Infinity, integer = false }) {
      const written = text(name)
      if (written === undefined) return undefined
      const value = written.trim() === '' ? Number.NaN : Number(written)
      if (!(value >= min && value <= max) || (integer && !Number.isInteger(value))) {
        const range = max < Infinity ? ` from ${min} to ${max}` : min > -Infinity ? ` of ${min} or more` : ''
        throw new Misuse(`--${name} takes ${integer ? 'an integer' : 'a number'}${range}, and got '${written.slice(0, 40)}'`)
      }
      return value
    },
  }
}

function unknownFlag(error: Error, names: readonly string[]): string {
  const flag = /Unknown option '--?([^']*)'/.exec(error.message)?.[1]
  if (flag === undefined) return error.message.split('\n')[0] as string
  const near = [...names].sort((a, b) => edits(flag, a) - edits(flag, b))[0]
  const hint = near !== undefined && edits(flag, near) <= Math.max(2, flag.length / 3) ? `; did you mean --${near}?` : '; --help lists all'
  return `there is no flag --${flag.slice(0, 40)}${hint}`
}

/** The help of a command. */
export function helpOf(usage: string, says: string, flags: Readonly<Record<string, Flag>>): string {
  const rows = Object.entries(flags).map(
    ([name, { value, says: what }]) => [`--${name}${value === undefined ? '' : ` <${value}>`}`, what] as const,
  )
  const width = Math.max(...rows.map(([flag]) => flag.length))
  return `Usage: ${usage}\n\n${says}\n\n${rows.map(([flag, what]) => `  ${flag.padEnd(width)}  ${what}`).join('\n')}\n`
}

/** A number for people: four significant digits. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–'
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4)))
}

/** A size of a file for people. */
export function bytes(n: number): string {
  const [unit, name] = n >= 1e9 ? [1e9, 'GB'] : n >= 1e6 ? [1e6, 'MB'] : n >= 1e3 ? [1e3, 'KB'] : [1, 'bytes']
  return `${Number((n / unit).toPrecision(3))} ${name}`
}

export const thousands = (n: number): string => n.toLocaleString('en')
export const percent = (share: number): string => `${Number((100 * share).toFixed(share < 0.1 ? 1 : 0))} %`

/** Lines of columns. */
export function columns(rows: readonly (readonly string[])[], right = true): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)))
  return rows
    .map((row) =>
      row
        .map((cell, i) => (right && i > 0 ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Runs a command's body: what it throws becomes a line on stderr and an exit code. */
export async function answered(command: string, body: () => Promise<number>): Promise<number> {
  try {
    return await body()
  } catch (error) {
    // A reader that has seen enough closes the pipe.
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return 0
    if (error instanceof Misuse) {
      process.stderr.write(`wengert ${command}: ${error.message}\n`)
      return 64
    }
    // What the system refuses: a full disk, a folder that may not be written to.
    const refused = error instanceof WengertError || (error instanceof Error && 'syscall' in error)
    if (!refused) throw error
    process.stderr.write(`wengert ${command}: ${error.message}\n`)
    return (error as WengertError).code === 'ERR_OPTION' ? 64 : 1
  }
}
