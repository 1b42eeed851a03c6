/** A model as a table: layers, parameters, totals. */

import { bytesPerElement } from '../util/dtype.js'
import { Buffer } from './buffer.js'
import { eachHeld } from './fields.js'
import { Parameter } from './parameter.js'

/** What a summary needs of a module. */
export interface Summarizable {
  describe(): string
  children(): [name: string, child: Summarizable][]
}

const grouped = (n: number) => String(n).replace(/\B(?=(\d{3})+$)/g, ',')

export function summarize(model: Summarizable): string {
  const rows: [string, string, string, string][] = []
  const seen = new Set<Parameter>()
  /** The first name of each module: below a shared one nothing is listed again. */
  const names = new Map<Summarizable, string>()
  const visit = (module: Summarizable, name: string) => {
    const own: Parameter[] = []
    eachHeld(module, (_, value) => {
      if (value instanceof Parameter && !(value instanceof Buffer)) own.push(value)
    })
    const fresh = own.filter((p) => !seen.has(p))
    for (const p of fresh) seen.add(p)
    const children = module.children()
    const first = names.get(module)
    if (first !== undefined && children.length > 0) {
      rows.push([name, module.describe(), '0', `as ${first}`])
      return
    }
    names.set(module, name)
    if (own.length > 0 || children.length === 0) {
      const count = fresh.reduce((n, p) => n + p.size, 0)
      rows.push([name || '(model)', module.describe(), grouped(count), own.length > 0 && own.every((p) => p.frozen) ? 'frozen' : ''])
    }
    for (const [child, inner] of children) visit(inner, name ? `${name}.${child}` : child)
  }
  visit(model, '')
  const all = [...seen]
  const total = all.reduce((n, p) => n + p.size, 0)
  const trained = all.filter((p) => !p.frozen).reduce((n, p) => n + p.size, 0)
  const bytes = all.reduce((n, p) => n + p.size * bytesPerElement[p.dtype], 0)
  const head: [string, string, string, string] = ['layer', 'kind', 'parameters', '']
  const widths = [0, 1, 2].map((col) => [head, ...rows].reduce((w, row) => Math.max(w, (row[col] as string).length), 0))
  const lines = [head, ...rows].map((row) =>
    [
      (row[0] as string).padEnd(widths[0] as number),
      (row[1] as string).padEnd(widths[1] as number),
      (row[2] as string).padStart(widths[2] as number),
      row[3],
    ]
      .join('  ')
      .trimEnd(),
  )
  return [
    ...lines,
    '─'.repeat(lines.reduce((n, line) => Math.max(n, line.length), 0)),
    `${grouped(total)} parameters (${grouped(trained)} trained), ${grouped(bytes)} bytes`,
  ].join('\n')
}
