/** What the examples share: where their data lie, their flags, and numbers as text. */

import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** The path of a file of examples/data, wherever the program was started. */
export const dataFile = (name: string): string =>
  fileURLToPath(new URL(`examples/data/${name}`, import.meta.resolve('wengert/package.json')))

/** The flags `--json` and, for those that draw, `--out`. A wrong one ends the process with status 2 and says what there is. */
export function flagsOf(program: string, help: string): { json: boolean; out: string | undefined } {
  try {
    const flag = { type: 'boolean', default: false } as const
    const { values } = parseArgs({ options: { json: flag, help: flag, out: { type: 'string' } } })
    if (values.help) {
      process.stdout.write(help)
      process.exit(0)
    }
    return { json: values.json, out: values.out }
  } catch (error) {
    console.error(`${program}: ${(error as Error).message.split('. ')[0]}. What there is: node dist/examples/${program}.js --help`)
    process.exit(2)
  }
}

/** Rows of text as columns: the first to the left, all others to the right but for those of `left`. */
export function table(rows: readonly (readonly string[])[], left: readonly number[] = []): string {
  const widths = (rows[0] as string[]).map((_, col) => Math.max(...rows.map((row) => (row[col] as string).length)))
  const line = (row: readonly string[]) =>
    row.map((cell, col) => (col === 0 || left.includes(col) ? cell.padEnd(widths[col] as number) : cell.padStart(widths[col] as number)))
  return rows.map((row) => line(row).join('   ').trimEnd()).join('\n')
}

export const percent = (share: number): string => `${(100 * share).toFixed(2)} %`
