/** CSV files that are hard to part, drawn by a seed. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random } from '../../lib/tensor/random.js'

export interface NastyFile {
  readonly path: string
  readonly options: Record<string, unknown>
}

/** Writes so many files into a folder. */
export function nastyFiles(folder: string, count: number, seed: number): NastyFile[] {
  const rng = new Random(seed)
  const below = (n: number) => Math.floor((rng.uniform([1]).data[0] as number) * n) % n
  const one = <T>(list: readonly T[]): T => list[below(list.length)] as T
  const words = ['a', 'b', 'long '.repeat(20), 'with, comma', 'two\nlines', 'cr\r\nlf', 'say ""so""', '\n\n', 'ü', '日本']
  return Array.from({ length: count }, (_, i) => {
    const end = one(['\n', '\r\n', '\r', 'mixed'])
    const rows = one([0, 1, 2, 3, 7, 30])
    const header = below(4) > 0
    const missing = one(['refuse', 'drop', 'mean'])
    const faulty = below(3) === 0
    const quoted = (text: string) => `"${text}"`
    const cell = (column: number): string => {
      if (missing !== 'refuse' && below(6) === 0) return one(['', 'NA'])
      if (faulty && below(40) === 0) return one(['abc', '"open', 'x"y', '1,2', ''])
      return column === 1 ? quoted(one(words)) : column === 2 ? one(['yes', 'no', quoted('yes'), ' no ']) : String((below(2000) - 1000) / 8)
    }
    const line = () => [0, 1, 2].map(cell).join(',')
    const names = header ? [one(['n,text,target', '"n","text","target"', 'n,"te\nxt",target'])] : []
    const lines = [...names, ...Array.from({ length: rows }, line)]
    const ended = lines.map((text) => text + (end === 'mixed' ? one(['\n', '\r\n', '\r']) : end)).join('')
    const blank = one(['', '', '\n', ' \r\n', '\n\n'])
    const text = (below(5) === 0 ? '\ufeff' : '') + (below(6) === 0 ? blank : '') + ended + blank
    const path = join(folder, `${i}.csv`)
    writeFileSync(path, below(4) === 0 && text.endsWith('\n') ? text.slice(0, -1) : text)
    const options = {
      target: header ? one(['target', 'n']) : one([2, 0]),
      ...(header ? {} : { header }),
      missing,
      ...(below(5) === 0 && { maxCategories: 3 }),
      ...(below(3) === 0 && { dtype: 'float64' }),
    }
    return { path, options }
  })
}
