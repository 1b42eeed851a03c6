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

/** Whether the answers are probabilities of classes, together 1 at every place. */
const areClasses = (answers: Dependence['answers']): boolean =>
  answers.length > 1 &&
  (answers[0] as Dependence['answers'][0]).values.every(
    (_, i) => Math.abs(answers.reduce((sum, { values }) => sum + (values[i] as number), -1)) < 1e-6,
  )

/** How the answer moves with a column. Of two classes the second is drawn. */
export function dependenceFigure({ column, kind, at, answers }: Dependence): string {
  const classes = areClasses(answers)
  const drawn = classes && answers.length === 2 ? answers.slice(1) : answers.slice(0, 8)
  const of = drawn.length === 1 ? (drawn[0] as Dependence['answers'][0]).name : ''
  const what = classes ? `Probability${of && ` of ${of}`}` : of || 'Answers'
  if (kind === 'category') {
    return bars(
      `${what} by ${column}`,
      at.flatMap((value, i) =>
        drawn.map(({ name, values }) => ({
          name: drawn.length > 1 ? `${value}: ${name}` : String(value),
          value: values[i] as number,
          says: figure(values[i] as number),
        })),
      ),
    )
  }
  const [first] = at
  const x = at.map((value) => (typeof value === 'number' ? value : (Date.parse(value) - Date.parse(String(first))) / day))
  return chart(
    `${what} by ${column}`,
    kind === 'date' ? `days after ${first}` : column,
    drawn.map(({ name, values }, i) => ({ label: name, color: i, x, y: values })),
    // One column beside another: small probabilities are to look small.
    { linear: true },
  )
}
