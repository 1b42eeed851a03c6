/** What a model over a table goes by, as figures of a report: bars of importance, curves and bars of dependence. */

import type { Dependence, Importance } from '../table/explain.js'
import { chart, escape, figure } from './report-charts.js'

const row = 26
const width = 720
const label = 200

/** Horizontal bars, the longest first to last as they are given. */
function bars(title: string, entries: readonly { name: string; value: number; says: string }[]): string {
  if (entries.length === 0) return ''
  const most = Math.max(...entries.map(({ value }) => value), 1e-300)
  const height = entries.length * row + 8
  const lines = entries.map(({ name, value, says }, i) => {
    const y = 4 + i * row
    const length = Math.max(0, ((width - label - 90) * value) / most)
    const shown = name.length > 28 ? `${name.slice(0, 27)}…` : name
    return `<text x="${label - 8}" y="${y + 17}" text-anchor="end">${escape(shown)}<title>${escape(name)}</title></text><rect x="${label}" y="${y + 4}" width="${length.toFixed(1)}" height="${row - 8}" rx="2" style="fill:var(--hit)"/><text x="${(label + length + 6).toFixed(1)}" y="${y + 17}">${escape(says)}</text>`
  })
  return `<figure><figcaption>${escape(title)}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">${lines.join('\n')}</svg></figure>`
}

/** How much worse the model is without each column. */
export function importanceFigure(importance: readonly Importance[]): string {
  return bars(
    'What the model goes by: growth of the loss when a column is shuffled',
    importance.map(({ column, importance: value }) => ({ name: column, value, says: figure(value) })),
  )
}

const day = 86_400_000

/** How the answer moves with a column. Of two classes the second is drawn. */
export function dependenceFigure({ column, kind, at, answers }: Dependence): string {
  const drawn = answers.length === 2 ? answers.slice(1) : answers.slice(0, 8)
  if (kind === 'category') {
    const [only] = drawn
    if (!only) return ''
    return bars(
      `${only.name} by ${column}`,
      at.map((name, i) => ({ name: String(name), value: only.values[i] as number, says: figure(only.values[i] as number) })),
    )
  }
  const [first] = at
  const x = at.map((value) => (typeof value === 'number' ? value : (Date.parse(value) - Date.parse(String(first))) / day))
  const title = drawn.length === 1 ? `${drawn[0]?.name} by ${column}` : `By ${column}`
  return chart(
    title,
    kind === 'date' ? `days after ${first}` : column,
    drawn.map(({ name, values }, i) => ({ label: name, color: i, x, y: values })),
    // One column beside another: small probabilities are to look small.
    { linear: true },
  )
}
