/** Charts as SVG text for the examples' figures: axes, curves, contours and paths of steps, side by side. */

import { contours } from 'd3-contour'
import { type ScaleLinear, scaleLinear } from 'd3-scale'
import { line } from 'd3-shape'

export type Point = readonly [x: number, y: number]

export interface PanelOptions {
  title: string
  x: readonly [from: number, to: number]
  y: readonly [from: number, to: number]
  xLabel: string
  yLabel: string
}

const width = 340
const height = 300
const margin = { top: 34, right: 14, bottom: 42, left: 50 }
export const colours = { ink: '#1f2328', faint: '#9aa4b2', blue: '#2563eb', red: '#c2410c', green: '#15803d', violet: '#7c3aed' } as const

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const round = (x: number): number => Math.round(100 * x) / 100

export class Panel {
  readonly #x: ScaleLinear<number, number>
  readonly #y: ScaleLinear<number, number>
  readonly #parts: string[] = []
  readonly #legend: string[] = []

  constructor(readonly options: PanelOptions) {
    this.#x = scaleLinear(options.x, [margin.left, width - margin.right])
    this.#y = scaleLinear(options.y, [height - margin.bottom, margin.top])
  }

  #path(points: readonly Point[]): string {
    return line<Point>(
      ([x]) => round(this.#x(x)),
      ([, y]) => round(this.#y(y)),
    )(points as Point[]) as string
  }

  /** A function of one variable. */
  curve(f: (x: number) => number, colour: string, label?: string, dashed = false): this {
    const [from, to] = this.options.x
    const points = Array.from({ length: 201 }, (_, i): Point => [from + ((to - from) * i) / 200, f(from + ((to - from) * i) / 200)])
    return this.line(points, colour, label, dashed)
  }

  /** A line through points. */
  line(points: readonly Point[], colour: string, label?: string, dashed = false): this {
    this.#parts.push(
      `<path d="${this.#path(points)}" fill="none" stroke="${colour}" stroke-width="1.5"${dashed ? ' stroke-dasharray="4 3"' : ''}/>`,
    )
    if (label) this.#label(label, colour)
    return this
  }

  /** Lines of equal height of a function of two variables. */
  contour(f: (x: number, y: number) => number, levels: readonly number[]): this {
    const n = 120
    const [x0, x1] = this.options.x
    const [y0, y1] = this.options.y
    const at = (i: number, from: number, to: number) => from + ((to - from) * (i - 0.5)) / (n - 1)
    const values = Array.from({ length: n * n }, (_, k) => f(at((k % n) + 0.5, x0, x1), at(Math.floor(k / n) + 0.5, y0, y1)))
    for (const ring of contours()
      .size([n, n])
      .smooth(true)
      .thresholds([...levels])(values)) {
      for (const polygon of ring.coordinates)
        for (const loop of polygon) {
          // A loop closes along the border of the grid: those pieces are no contour.
          const inside = ([i, j]: readonly number[]) =>
            (i as number) > 0.6 && (i as number) < n - 0.6 && (j as number) > 0.6 && (j as number) < n - 0.6
          let piece: Point[] = []
          const flush = () => {
            if (piece.length > 1)
              this.#parts.push(`<path d="${this.#path(piece)}" fill="none" stroke="${colours.faint}" stroke-width="0.8"/>`)
            piece = []
          }
          for (const p of loop) {
            if (inside(p)) piece.push([at(p[0] as number, x0, x1), at(p[1] as number, y0, y1)])
            else flush()
          }
          flush()
        }
    }
    return this
  }

  /** The steps of a descent: a line with a dot at each, the first one hollow. Points outside the panel are cut off. */
  steps(points: readonly Point[], colour: string, label?: string): this {
    const [from, to] = this.options.y
    const [left, right] = this.options.x
    const end = points.findIndex(([x, y]) => y < from || y > to || x < left || x > right)
    const shown = end < 0 ? points : points.slice(0, end + 1)
    const dots = (end < 0 ? points : points.slice(0, end)).map(([x, y], i) => {
      const place = `cx="${round(this.#x(x))}" cy="${round(this.#y(y))}"`
      return i === 0
        ? `<circle ${place} r="4" fill="white" stroke="${colour}" stroke-width="1.5"/>`
        : `<circle ${place} r="2.2" fill="${colour}"/>`
    })
    this.#parts.push(`<path d="${this.#path(shown)}" fill="none" stroke="${colour}" stroke-width="1" opacity="0.7"/>`, ...dots)
    if (label) this.#label(label, colour)
    return this
  }

  #label(text: string, colour: string): void {
    const y = margin.top + 12 + 7.5 * this.#legend.length
    const wide = 6.2 * [...text].length + 8
    this.#legend.push(`<rect x="${width - margin.right - 4 - wide}" y="${y - 11}" width="${wide}" height="14" fill="white"/>`)
    this.#legend.push(`<text x="${width - margin.right - 6}" y="${y}" text-anchor="end" fill="${colour}">${escape(text)}</text>`)
  }

  render(id: string): string {
    const { title, xLabel, yLabel } = this.options
    const [bottom, left] = [height - margin.bottom, margin.left]
    const ticks = [
      ...this.#x
        .ticks(5)
        .map(
          (t) =>
            `<text x="${round(this.#x(t))}" y="${bottom + 16}" text-anchor="middle">${this.#x.tickFormat(5)(t)}</text><path d="M${round(this.#x(t))},${bottom}v4" stroke="${colours.ink}"/>`,
        ),
      ...this.#y
        .ticks(5)
        .map(
          (t) =>
            `<text x="${left - 8}" y="${round(this.#y(t)) + 4}" text-anchor="end">${this.#y.tickFormat(5)(t)}</text><path d="M${left},${round(this.#y(t))}h-4" stroke="${colours.ink}"/>`,
        ),
    ]
    const [w, h] = [width - margin.left - margin.right, height - margin.top - margin.bottom]
    return [
      `<clipPath id="${id}"><rect x="${left}" y="${margin.top}" width="${w}" height="${h}"/></clipPath>`,
      `<text x="${left + w / 2}" y="20" text-anchor="middle" font-size="13" font-weight="600">${escape(title)}</text>`,
      ...ticks,
      `<text x="${left + w / 2}" y="${height - 8}" text-anchor="middle">${escape(xLabel)}</text>`,
      `<text transform="translate(14,${margin.top + h / 2}) rotate(-90)" text-anchor="middle">${escape(yLabel)}</text>`,
      `<g clip-path="url(#${id})">${this.#parts.join('\n')}</g>`,
      ...this.#legend,
      `<rect x="${left}" y="${margin.top}" width="${w}" height="${h}" fill="none" stroke="${colours.ink}"/>`,
    ].join('\n')
  }
}

/** Panels side by side in one SVG document; its title names them for those who cannot see it. */
export function figure(...panels: Panel[]): string {
  const total = width * panels.length
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${total}" height="${height}" viewBox="0 0 ${total} ${height}" font-family="Helvetica, Arial, sans-serif" font-size="11" fill="${colours.ink}">`,
    `<title>${escape(panels.map((panel) => panel.options.title).join('; '))}</title>`,
    `<rect width="${total}" height="${height}" fill="white"/>`,
    ...panels.map((panel, i) => `<g transform="translate(${i * width},0)">\n${panel.render(`panel${i}`)}\n</g>`),
    '</svg>\n',
  ].join('\n')
}
