/** Images on a report's page: samples of a data set, the filters of a model's first layer, and what it took for something else. */

import { checkData, type DataLike } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import { Conv2d } from '../nn/convolution.js'
import { meaningOf } from '../nn/meaning.js'
import type { Module } from '../nn/module.js'
import { loneTensor } from '../tensor/inputs.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { formatShape } from '../util/shape.js'
import { escape } from './report-charts.js'

/** Of one figure. */
const mostTiles = 24
const mostFilters = 64
/** Samples that are predicted at a time, and at most. */
const atOnce = 256
const mostPredicted = 10_000

interface Tile {
  width: number
  height: number
  /** Red, green and blue of each pixel, 0 … 255, row by row. */
  colours: Uint8Array
  says: string
}

/** A bitmap of 24 bits a pixel: the one format that needs no compression. */
function bitmap({ width, height, colours }: Tile): string {
  const line = Math.ceil((3 * width) / 4) * 4
  const file = Buffer.alloc(54 + line * height)
  file.write('BM', 0, 'latin1')
  for (const [at, value] of [
    [2, file.length],
    [10, 54],
    [14, 40],
    [18, width],
    [22, height],
  ] as const)
    file.writeUInt32LE(value, at)
  file.writeUInt16LE(1, 26)
  file.writeUInt16LE(24, 28)
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++)
      for (let c = 0; c < 3; c++)
        file[54 + (height - 1 - row) * line + 3 * column + 2 - c] = colours[3 * (row * width + column) + c] as number
  return `data:image/bmp;base64,${file.toString('base64')}`
}

function tiles(title: string, list: readonly Tile[]): string {
  if (list.length === 0) return ''
  const drawn = list.map((tile) => {
    const image = `<image href="${bitmap(tile)}" width="${tile.width}" height="${tile.height}"/>`
    const text = escape(tile.says)
    return `<li><svg viewBox="0 0 ${tile.width} ${tile.height}" role="img" aria-label="${text}">${image}</svg>${text}</li>`
  })
  return `<figure><figcaption>${escape(title)}</figcaption><ul class="tiles">${drawn.join('')}</ul></figure>`
}

/** Image i of x [m, C, H, W] between the darkest and the brightest of all; of other than three channels the first in grey. */
function tileOf(x: Tensor, i: number, [low, high]: readonly [number, number], says: string): Tile {
  const [, channels, height, width] = x.shape as [number, number, number, number]
  const cells = height * width
  const colours = new Uint8Array(3 * cells)
  for (let at = 0; at < cells; at++)
    for (let c = 0; c < 3; c++) {
      const value = x.data[(i * channels + (channels === 3 ? c : 0)) * cells + at] as number
      colours[3 * at + c] = Math.round((255 * (value - low)) / (high - low || 1))
    }
  return { width, height, colours, says }
}

/** Weights as colours: white at 0, blue above, red below. */
function filterTiles(model: Module): Tile[] {
  const first = model.modules().find((m): m is Conv2d => m instanceof Conv2d)
  if (!first) return []
  const [filters, channels, height, width] = first.weight.shape as [number, number, number, number]
  const values = first.weight.peek()
  const largest = values.reduce((n, v) => Math.max(n, Math.abs(v)), 0) || 1
  const cells = height * width
  return Array.from({ length: Math.min(filters * channels, mostFilters) }, (_, i) => {
    const colours = new Uint8Array(3 * cells)
    for (let at = 0; at < cells; at++) {
      const share = (values[i * cells + at] as number) / largest
      const [ink, white] = [share < 0 ? [200, 69, 63] : [59, 111, 212], 1 - Math.abs(share)]
      for (let c = 0; c < 3; c++) colours[3 * at + c] = Math.round((ink[c] as number) + (255 - (ink[c] as number)) * white)
    }
    const filter = Math.floor(i / channels) + 1
    return { width, height, colours, says: channels > 1 ? `${filter}, channel ${(i % channels) + 1}` : String(filter) }
  })
}

/** The samples x that a model takes for another class, the surest first. */
function mistakes(model: Module, x: Tensor, labels: readonly number[]): { sample: number; said: number }[] {
  const found: { sample: number; said: number; margin: number }[] = []
  const m = Math.min(labels.length, mostPredicted)
  for (let from = 0; from < m; from += atOnce) {
    const end = Math.min(m, from + atOnce)
    const output = model.predict(x.slice([from, end]))
    if (output.rank !== 2) return []
    const classes = output.shape[1] as number
    for (let i = from; i < end; i++) {
      const row = output.data.subarray((i - from) * classes, (i - from + 1) * classes) as Float32Array
      // One output is that of the second of two classes, against what lies between them.
      const scores = classes > 1 ? row : [meaningOf(model).outputs === 'probabilities' ? 0.5 : 0, row[0] as number]
      const said = scores.indexOf(Math.max(...scores))
      const truth = labels[i] as number
      if (said !== truth && said >= 0) found.push({ sample: i, said, margin: (scores[said] as number) - (scores[truth] ?? 0) })
    }
  }
  return found.sort((a, b) => b.margin - a.margin || a.sample - b.sample)
}

/** The class of each sample: an index, or where the largest of a row stands. */
function labelsOf(y: Tensor): number[] {
  const width = y.size / (y.shape[0] as number)
  if (width === 1) return Array.from(y.data)
  return Array.from(y.argmax(1).data)
}

/** The figures of a data set of images and of a model that reads them. Errors: ERR_SHAPE, ERR_DATA, ERR_VALUE. */
export function imageFigures(images: DataLike, model: Module | undefined, classes: readonly string[] | undefined): string[] {
  const { x: inputs, y } = checkData('report: images', images)
  const x = loneTensor('report: images', inputs)
  if (x.rank !== 4)
    throw new WengertError('ERR_SHAPE', `report: expected images of shape [m, C, H, W], got ${formatShape(x.shape)}`, { actual: x.shape })
  const names = classes ?? images.classes
  const labels = labelsOf(y)
  const name = (label: number) => names?.[label] ?? String(label)
  const range: [number, number] = [Infinity, -Infinity]
  for (const v of x.data) {
    if (v < range[0]) range[0] = v
    if (v > range[1]) range[1] = v
  }
  const step = Math.max(1, Math.floor(labels.length / mostTiles))
  const samples = Array.from({ length: Math.min(labels.length, mostTiles) }, (_, i) => i * step)
  const figures = [
    tiles(
      'Samples',
      samples.map((i) => tileOf(x, i, range, name(labels[i] as number))),
    ),
  ]
  if (!model) return figures
  figures.push(tiles('Filters of the first layer: blue above 0, red below', filterTiles(model)))
  const wrong = mistakes(model, isFloat(x.dtype) ? x : x.cast('float32'), labels)
  const share = `${wrong.length} of ${Math.min(labels.length, mostPredicted)}`
  figures.push(
    tiles(
      `Wrong answers: ${share}${wrong.length > mostTiles ? `, the ${mostTiles} surest` : ''}`,
      wrong.slice(0, mostTiles).map(({ sample, said }) => tileOf(x, sample, range, `${name(labels[sample] as number)} as ${name(said)}`)),
    ),
  )
  return figures
}
