/** Files of tables whose types, categories and medians are known only once all of their rows are. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const csv = (rows: readonly (readonly unknown[])[]) => `${rows.map((row) => row.join(',')).join('\n')}\n`

export function tableFiles(folder: string): void {
  const n = 60
  const target = (i: number) => (i % 3 === 0 ? 'yes' : 'no')
  const each = <T>(of: (i: number) => T) => Array.from({ length: n }, (_, i) => of(i))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  // Skewed numbers with gaps, categories of which some come late, quotes over lines.
  const mixed = each((i) => [
    i % 11 === 5 ? '' : Math.exp(Math.sin(i * 7) * 3).toFixed(4),
    i < 40 ? ['red', 'green'][i % 2] : 'violet',
    `"a ${i % 4 ? 'word' : 'line\nand another'} ${i % 9}"`,
    `2026-0${1 + (i % 9)}-1${i % 10}`,
    target(i),
  ])
  write('mixed.csv', csv([['size', 'colour', 'words', 'day', 'target'], ...mixed]))
  // Numbers that are text in the last row; a column that begins in the second half; whole numbers with one fraction at the end.
  const late = each((i) => [i === n - 1 ? 'n/x' : i, i < 40 ? '' : (i % 3) - 0.5, i === n - 2 ? 0.5 : i % 6, i / 7])
  write('late.csv', csv([['code', 'begins', 'whole', 'target'], ...late]))
  // Only the last days say which number is the day's.
  const days = each((i) => [`${String(1 + (i < 48 ? i % 12 : i - 40)).padStart(2, '0')}/0${1 + Math.floor(i / 12)}/2026`, i % 5, target(i)])
  write('dates.csv', csv([['day', 'a', 'target'], ...days]))
  write('rows.jsonl', each((i) => JSON.stringify({ a: i % 7, ...(i > 50 && { b: `b${i % 3}` }), target: target(i) })).join('\n'))
  // Fewer rows than ranks.
  write(
    'few.csv',
    csv([
      ['a', 'target'],
      [1, 2],
      [3, 5],
    ]),
  )
  write('numbers.csv', csv([['a', 'b', 'y'], ...each((i) => [i, i % 4, i / 2])]))
  for (const [name, count] of [
    ['cat', 5],
    ['dog', 6],
  ] as const) {
    mkdirSync(join(folder, 'images', name), { recursive: true })
    for (let i = 0; i < count; i++) writeFileSync(join(folder, 'images', name, `${name}${i}.png`), '')
  }
}
