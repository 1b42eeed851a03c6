/**
 * A network as a drawing (Figure 3.15): a column of nodes for each layer, an edge for each weight, and what a sample does in the
 * nodes. Layers that are not written as weights between nodes are boxes; of large layers the first and the last nodes stand for all.
 */

import { asTensor } from '../tensor/creation.js'
import type { Tensor, TensorLike } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { outputOf } from './output.js'
import type { Parameter } from './parameter.js'
import { inEvalMode, type Predictable } from './predictor.js'

/** Of `Module.toSvg`. */
export interface NetworkSvgOptions {
  /** One sample: its activations stand in the nodes. */
  sample?: TensorLike | undefined
  /** The most nodes of a column; the middle of larger layers is left out. At least 3; 10 by default. */
  maxNodes?: number | undefined
}

/** The weights [out, in] and biases [out] by which a layer joins its inputs to its outputs. */
export interface Connections {
  readonly weight: Parameter
  readonly bias: Parameter | undefined
}

/** What is drawn of a module. */
export interface Drawable extends Predictable {
  readonly dtype: FloatDtype
  describe(): string
  layersInOrder(): Drawable[]
  connections(): Connections | undefined
}

/** A column of nodes, or a box; `joined` is how it hangs together with the column before it. */
interface Column {
  /** How many nodes; none for a box. */
  size: number | undefined
  captions: string[]
  joined: Connections | undefined
  values: Tensor | undefined
}

const columnGap = 190
const nodeGap = 56
const radius = 19
const ink = '#1f2933'
const faint = '#8a96a3'
const colours = { positive: '#2563eb', negative: '#dc2626' }

const escape = (text: string) => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] as string)
const digits = (n: number, first: number) => [...String(n)].map((d) => String.fromCodePoint(first + Number(d))).join('')
const subscript = (n: number) => digits(n, 0x2080)
const superscript = (n: number) => [...String(n)].map((d) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(d)]).join('')
const number = (v: number) => (Number.isFinite(v) ? String(Number(v.toPrecision(3))) : String(v))
const at = (v: number) => String(Math.round(v * 10) / 10)

/** The columns of a model, with a sample's values where one is given. */
function columnsOf(model: Drawable, sample: Tensor | undefined): Column[] {
  const layers = model.layersInOrder()
  const first = layers[0]?.connections()
  const columns: Column[] = [{ size: first?.weight.shape[1] ?? sample?.size, captions: ['input'], joined: undefined, values: sample }]
  const flat = (t: Tensor | undefined) => t?.reshape([t.size])
  let x = sample?.reshape([1, ...sample.shape])
  for (const layer of layers) {
    const given = flat(x)
    x = x && outputOf(layer, x)
    const values = flat(x)
    const joined = layer.connections()
    const last = columns[columns.length - 1] as Column
    const size = joined?.weight.shape[0] ?? values?.size
    // What has no weights and as many values as before is said of the column: an activation, dropout, a normalisation.
    if (!joined && columns.length > 1 && (values === undefined || values.size === last.size) && !composite(layer)) {
      last.captions.push(layer.describe())
      last.values = values
      continue
    }
    if (!joined) columns.push({ size: undefined, captions: [layer.describe()], joined: undefined, values: undefined })
    else if (last.size === undefined) columns.push({ size: joined.weight.shape[1], captions: [], joined: undefined, values: given })
    if (joined) columns.push({ size, captions: [layer.describe()], joined, values })
  }
  return columns
}

/** Whether a layer holds others, or more than one number a feature. */
const composite = (layer: Drawable): boolean => layer.modules().length > 1 || layer.namedState().some(([, p]) => p.rank > 1)

/** The nodes that are drawn of so many: their positions; −1 for what is left out. */
function shown(size: number, most: number): number[] {
  if (size <= most) return Array.from({ length: size }, (_, i) => i)
  const head = Math.ceil((most - 1) / 2)
  const tail = most - 1 - head
  return [...Array.from({ length: head }, (_, i) => i), -1, ...Array.from({ length: tail }, (_, i) => size - tail + i)]
}

/** A node's fill: blue for positive values, red for negative ones, stronger for larger. */
function fill(value: number | undefined, largest: number): string {
  if (value === undefined || !Number.isFinite(value) || value === 0) return 'fill="#ffffff"'
  const share = Math.min(1, Math.abs(value) / largest)
  return `fill="${value > 0 ? colours.positive : colours.negative}" fill-opacity="${at(0.1 + 0.5 * share)}"`
}

/** The name of node i of column l of `last`: xᵢ, aᵢ⁽ˡ⁾, ŷᵢ. */
const nameOf = (i: number, l: number, last: number): string =>
  l === 0 ? `x${subscript(i + 1)}` : l === last ? `ŷ${subscript(i + 1)}` : `a${subscript(i + 1)}⁽${superscript(l)}⁾`

/** The drawing of a model as an SVG document. */
export function networkSvg(model: Drawable, options: NetworkSvgOptions = {}): string {
  checkOptions('toSvg', options, ['sample', 'maxNodes'])
  const most = checkNumber('toSvg', 'maxNodes', options.maxNodes ?? 10, { integer: true, min: 3 })
  const given = options.sample === undefined ? undefined : asTensor('toSvg', options.sample, { dtype: model.dtype })
  const columns = inEvalMode(model, () => columnsOf(model, given))
  const rows = columns.map(({ size }) => (size === undefined ? [] : shown(size, most)))
  const tallest = rows.reduce((n, list) => Math.max(n, list.length), 2)
  const lines = columns.reduce((n, { captions }) => Math.max(n, captions.length), 1)
  const [top, height] = [30, 30 + tallest * nodeGap + 14 + lines * 15 + 10]
  const width = columns.length * columnGap
  const x = (l: number) => (l + 0.5) * columnGap
  const y = (l: number, k: number) => top + ((tallest - (rows[l] as number[]).length) / 2 + k + 0.5) * nodeGap
  const middle = top + (tallest * nodeGap) / 2
  const [edges, nodes]: [string[], string[]] = [[], []]
  const lastNodes = columns.findLastIndex(({ size }) => size !== undefined)

  columns.forEach((column, l) => {
    const before = columns[l - 1]
    const own = rows[l] as number[]
    if (column.joined) {
      const { weight } = column.joined
      const [outputs, inputs] = weight.shape as [number, number]
      const values = weight.peek()
      const largest = values.reduce((n, w) => Math.max(n, Math.abs(w)), 0) || 1
      const from = rows[l - 1] as number[]
      const written = outputs * inputs <= 12
      own.forEach((j, row) => {
        from.forEach((i, k) => {
          if (i < 0 || j < 0) return
          const w = values[j * inputs + i] as number
          const [x1, y1, x2, y2] = [x(l - 1) + radius, y(l - 1, k), x(l) - radius, y(l, row)]
          const share = Math.abs(w) / largest
          const stroke = `stroke="${w < 0 ? colours.negative : colours.positive}" stroke-width="${at(0.4 + 2.6 * share)}" stroke-opacity="${at(0.25 + 0.6 * share)}"`
          const title = `<title>w${subscript(j + 1)}${subscript(i + 1)} = ${number(w)}</title>`
          edges.push(`<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" ${stroke}>${title}</line>`)
          if (!written) return
          // At different shares of the way, so that numbers of crossing edges do not meet.
          const share2 = 0.3 + (0.4 * (k % 3)) / 2
          const [tx, ty] = [x1 + (x2 - x1) * share2, y1 + (y2 - y1) * share2 - 3]
          edges.push(`<text x="${at(tx)}" y="${at(ty)}" class="weight">${number(w)}</text>`)
        })
      })
    } else if (before) {
      edges.push(
        `<line x1="${at(x(l - 1) + 40)}" y1="${at(middle)}" x2="${at(x(l) - 60)}" y2="${at(middle)}" stroke="${faint}" stroke-width="1.5"/>`,
      )
    }
    if (column.size === undefined) {
      nodes.push(`<rect x="${at(x(l) - 60)}" y="${at(middle - 22)}" width="120" height="44" rx="8" fill="#f3f4f6" stroke="${faint}"/>`)
      nodes.push(`<text x="${at(x(l))}" y="${at(middle + 4)}">${escape(column.captions[0] ?? '')}</text>`)
    }
    const values = column.values && Array.from(column.values.data)
    const largest = values?.reduce((n, v) => (Number.isFinite(v) ? Math.max(n, Math.abs(v)) : n), 0) || 1
    const biases = column.joined?.bias?.peek()
    own.forEach((i, row) => {
      const [cx, cy] = [at(x(l)), y(l, row)]
      if (i < 0) {
        nodes.push(`<text x="${cx}" y="${at(cy - 4)}" class="gap">⋮</text>`)
        nodes.push(`<text x="${cx}" y="${at(cy + 14)}" class="small">${(column.size as number) - own.length + 1} more</text>`)
        return
      }
      const value = values?.[i]
      const name = nameOf(i, l, lastNodes)
      const bias = biases ? `, b = ${number(biases[i] as number)}` : ''
      const title = `<title>${name}${value === undefined ? '' : ` = ${number(value)}`}${bias}</title>`
      nodes.push(`<circle cx="${cx}" cy="${at(cy)}" r="${radius}" fill="#ffffff"/>`)
      nodes.push(`<circle cx="${cx}" cy="${at(cy)}" r="${radius}" ${fill(value, largest)} stroke="${ink}">${title}</circle>`)
      nodes.push(
        `<text x="${cx}" y="${at(cy + 4)}" class="${value === undefined ? 'node' : 'value'}">${value === undefined ? name : number(value)}</text>`,
      )
      if (biases && own.length <= 6)
        nodes.push(`<text x="${cx}" y="${at(cy + radius + 11)}" class="small">b ${number(biases[i] as number)}</text>`)
    })
    const captions = column.size === undefined ? column.captions.slice(1) : column.captions
    captions.forEach((caption, line) => {
      nodes.push(`<text x="${at(x(l))}" y="${at(top + tallest * nodeGap + 22 + 15 * line)}" class="caption">${escape(caption)}</text>`)
    })
  })
  const style = `text { font-family: Helvetica, Arial, sans-serif; font-size: 12px; fill: ${ink}; text-anchor: middle } .value { font-size: 10px } .weight, .small { font-size: 9px; fill: ${faint} } .weight { paint-order: stroke; stroke: #ffffff; stroke-width: 3px } .caption { font-size: 11px } .gap { font-size: 18px }`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escape(model.describe())}</title>`,
    `<desc>Weights above 0 are blue, others red; wider lines are larger weights.</desc>`,
    `<style>${style}</style>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...edges,
    ...nodes,
    '</svg>',
    '',
  ].join('\n')
}
