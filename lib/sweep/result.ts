/** What came of a sweep: one row a trial, as data, as a table and as a page. */

import { writeAtomic } from '../io/atomic.js'
import { escape, table as htmlTable } from '../train/report-charts.js'
import { style } from '../train/report-style.js'
import { short } from '../util/options.js'

/** One trial, at the largest budget that it was given. */
export interface SweepTrial<Config> {
  readonly trial: number
  readonly config: Config
  readonly budget: number
  /** What is to be small; NaN where the trial failed. */
  readonly cost: number
  /** What else the trial gave. */
  readonly numbers: Readonly<Record<string, number>>
  readonly seconds: number
  /** Which rank it ran on. */
  readonly rank: number
  /** Why it failed. */
  readonly error?: string
}

const figure = (value: unknown): string =>
  typeof value === 'number'
    ? Number.isInteger(value)
      ? String(value)
      : value.toPrecision(4)
    : typeof value === 'string'
      ? value
      : JSON.stringify(value)

/** The outcome of `sweep`. */
export class SweepResult<Config extends object = Record<string, unknown>> {
  constructor(
    /** The best first; those that were given less come after those that were given more, failures last. */
    readonly trials: readonly SweepTrial<Config>[],
    readonly seed: number,
  ) {}

  /** The trial with the lowest cost at the largest budget; undefined where all failed. */
  get best(): SweepTrial<Config> | undefined {
    return this.trials.find(({ error }) => error === undefined)
  }

  #rows(): { head: string[]; rows: string[][] } {
    const settings = Object.keys(this.trials[0]?.config ?? {})
    const numbers = [...new Set(this.trials.flatMap((one) => Object.keys(one.numbers)))]
    const head = ['trial', ...settings, 'budget', 'cost', ...numbers, 'seconds', '']
    const rows = this.trials.map(({ trial, config, budget, cost, numbers: own, seconds, error }) => [
      String(trial),
      ...settings.map((name) => figure((config as Record<string, unknown>)[name])),
      String(budget),
      error === undefined ? figure(cost) : 'failed',
      ...numbers.map((name) => (own[name] === undefined ? '' : figure(own[name]))),
      seconds.toFixed(2),
      error === undefined ? '' : short(error.replaceAll('\n', ' '), 80),
    ])
    return { head, rows }
  }

  /** The table as text. */
  toString(): string {
    const { head, rows } = this.#rows()
    const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => (row[i] as string).length)))
    return [head, ...rows]
      .map((row) =>
        row
          .map((cell, i) => cell.padEnd(widths[i] as number))
          .join('  ')
          .trimEnd(),
      )
      .join('\n')
  }

  /**
   * Writes the table as one HTML page.
   *
   * @throws (rejects) ERR_FILE
   */
  async page(path: string, title = 'Sweep'): Promise<void> {
    const { head, rows } = this.#rows()
    const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escape(title)}</title>
<link rel="icon" href="data:,"><style>${style}</style></head>
<body><h1>${escape(title)}</h1>
<p>${rows.length} trials, seed ${this.seed}</p>
${htmlTable(head, rows)}
</body></html>
`
    await writeAtomic(path, [new TextEncoder().encode(page)], { where: 'sweep' })
  }
}
