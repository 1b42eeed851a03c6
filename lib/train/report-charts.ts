/** Line charts and matrices as SVG and HTML text, laid out by hand: axes with round numbers, colours from the page's variables. */

export interface Line {
  label: string
  /** Index of the page's colour. */
  color: number
  dashed?: boolean
  x: readonly number[]
  y: readonly number[]
}

const width = 720
const height = 300
const margin = { left: 64, right: 16, top: 12, bottom: 36 }
const mostPoints = 800

export const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[c] as string)

/** A number for an axis or a table: four significant digits at most. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6))
    return value
      .toExponential(2)
      .replace(/\.?0+e/, 'e')
      .replace('e+', 'e')
  return String(Number(value.toPrecision(4)))
}

/** Round numbers that span from … to: steps of 1, 2 or 5 times a power of ten. */
export function ticks(from: number, to: number, about: number): number[] {
  const raw = (to - from) / about
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw) as number)
  const out: number[] = []
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)))
  return out
}

/** Powers of ten that span from … to (both > 0), every so manieth. */
function powers(from: number, to: number): number[] {
  const [low, high] = [Math.ceil(Math.log10(from) - 1e-9), Math.floor(Math.log10(to) + 1e-9)]
  const stride = Math.max(1, Math.ceil((high - low + 1) / 7))
  return Array.from({ length: Math.max(0, Math.floor((high - low) / stride) + 1) }, (_, i) => 10 ** (low + i * stride))
}

/** The lowest and the highest point of each stretch, so that a long curve keeps its spikes. */
function thinned({ x, y }: Pick<Line, 'x' | 'y'>): [number, number][] {
  const points = x.map((at, i): [number, number] => [at, y[i] as number]).filter(([, v]) => Number.isFinite(v))
  if (points.length <= mostPoints) return points
  const out: [number, number][] = [points[0] as [number, number]]
  const size = (points.length - 2) / (mostPoints / 2)
  for (let b = 0; b < mostPoints / 2; b++) {
    const part = points.slice(1 + Math.floor(b * size), 1 + Math.floor((b + 1) * size))
    const low = part.reduce((a, p) => (p[1] < a[1] ? p : a))
    const high = part.reduce((a, p) => (p[1] > a[1] ? p : a))
    out.push(...[low, high].sort((a, c) => a[0] - c[0]))
  }
  out.push(points[points.length - 1] as [number, number])
  return out
}

/** A chart; the vertical axis is logarithmic where all values are above 0 and span more than two powers of ten, unless it is to be `linear`. */
export function chart(title: string, xLabel: string, lines: readonly Line[], { linear = false } = {}): string {
  const drawn = lines.map((line) => ({ ...line, points: thinned(line) })).filter(({ points }) => points.length > 0)
  const values = drawn.flatMap(({ points }) => points)
  if (values.length === 0) return ''
  const extent = (k: 0 | 1): [number, number] => values.reduce(([a, b], p) => [Math.min(a, p[k]), Math.max(b, p[k])], [Infinity, -Infinity])
  let [left, right] = extent(0)
  if (left === right) [left, right] = [left - 0.5, right + 0.5]
  let [low, high] = extent(1)
  const logarithmic = !linear && low > 0 && high / low > 100
  if (logarithmic) [low, high] = [low / 1.2, high * 1.2]
  else {
    if (low >= 0 && low < 0.5 * high) low = 0
    const pad = high > low ? (high - low) * 0.04 : Math.abs(high) * 0.1 || 1
    ;[low, high] = [low === 0 ? 0 : low - pad, high + pad]
  }
  const scale = logarithmic ? Math.log10 : (v: number) => v
  const px = (v: number) => margin.left + ((v - left) / (right - left)) * (width - margin.left - margin.right)
  const py = (v: number) =>
    height - margin.bottom - ((scale(v) - scale(low)) / (scale(high) - scale(low))) * (height - margin.top - margin.bottom)
  const at = (v: number) => v.toFixed(1)
  const rows = logarithmic ? powers(low, high) : ticks(low, high, 5)
  const columns = ticks(left, right, 8).filter((v) => xLabel !== 'epoch' || Number.isInteger(v))
  const grid = [
    ...rows.map(
      (v) =>
        `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${at(py(v))}" y2="${at(py(v))}"/><text x="${margin.left - 8}" y="${at(py(v) + 4)}" text-anchor="end">${figure(v)}</text>`,
    ),
    ...columns.map((v) => `<text x="${at(px(v))}" y="${height - margin.bottom + 16}" text-anchor="middle">${figure(v)}</text>`),
  ]
  const curves = drawn.map(({ points, color, dashed, label }) => {
    const name = `<title>${escape(label)}</title>`
    const [only] = points
    if (points.length === 1 && only)
      return `<circle class="c${color}" cx="${at(px(only[0]))}" cy="${at(py(only[1]))}" r="4">${name}</circle>`
    return `<polyline class="c${color}"${dashed ? ' stroke-dasharray="5 4"' : ''} points="${points.map(([x, y]) => `${at(px(x))},${at(py(y))}`).join(' ')}">${name}</polyline>`
  })
  const legend = drawn
    .map(({ label, color, dashed }) => `<li><i class="b${color}${dashed ? ' dashed' : ''}"></i>${escape(label)}</li>`)
    .join('')
  return `<figure><figcaption>${escape(title)}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">
${grid.join('\n')}
<line class="axis" x1="${margin.left}" x2="${width - margin.right}" y1="${height - margin.bottom}" y2="${height - margin.bottom}"/>
<text x="${(margin.left + width - margin.right) / 2}" y="${height - 4}" text-anchor="middle">${escape(xLabel)}</text>
${curves.join('\n')}
</svg>
<ul class="legend">${legend}</ul></figure>`
}

/** A confusion matrix: counts, shaded by their share of the true class. */
export function matrix(title: string, counts: readonly (readonly number[])[], classes: readonly string[]): string {
  const head = classes.map((name) => `<th scope="col">${escape(name)}</th>`).join('')
  const body = counts.map((row, c) => {
    const total = row.reduce((a, b) => a + b, 0)
    const cells = row.map((n, k) => {
      const share = total > 0 ? n / total : 0
      const shade = n === 0 ? '' : ` style="--s:${Math.round(share * 100)}%"`
      return `<td class="${k === c ? 'hit' : 'miss'}${share > 0.55 ? ' strong' : ''}"${shade} title="${escape(classes[c] as string)} as ${escape(classes[k] as string)}: ${n} of ${total}">${n}</td>`
    })
    return `<tr><th scope="row">${escape(classes[c] as string)}</th>${cells.join('')}</tr>`
  })
  return `<figure><figcaption>${escape(title)}</figcaption><div class="scroll"><table class="matrix"><thead><tr><th>true \\ predicted</th>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div></figure>`
}

/** A table with text in its first column and numbers in the others. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[], tag: string) => row.map((text) => `<${tag}>${escape(text)}</${tag}>`).join('')
  return `<div class="scroll"><table class="summary"><thead><tr>${cells(head, 'th')}</tr></thead><tbody>${rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('')}</tbody></table></div>`
}
