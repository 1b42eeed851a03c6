/**
 * The backward pass of convolution → activation → pooling by windows that lie apart. What flows back through the pooling stands at the
 * largest of each window and is 0 elsewhere; this pass keeps it small, [N, P′, Q′, D], as far as it can:
 *
 *   relu′ of it            masked at the windows, by the sign of what they gave
 *   its sum over images    summed at the windows
 *   convInput, convWeight  by kernels that skip the zeros (primitives/convolution-pooled.ts)
 *
 * It comes after differentiation. Sums run in another order; nothing is left out but products of 0 with what is finite (a product with
 * what is not is NaN, and the kernels make it). To add a rule: an entry of `rules`.
 */

import { broadcastRow, sumRow } from '../primitives/broadcast.js'
import { convInputRow, convWeightRow, type Windows } from '../primitives/convolution.js'
import { convInputPooledRow, convWeightPooledRow } from '../primitives/convolution-pooled.js'
import { add } from '../primitives/elementwise.js'
import { reshapeRow } from '../primitives/movement.js'
import { sliceRow } from '../primitives/parts.js'
import { rowOf } from '../primitives/pointwise.js'
import { maxPoolRow, poolPutRow } from '../primitives/pooling.js'
import type { Params, Primitive } from '../primitives/primitive.js'
import { type Shape, sameShape } from '../util/shape.js'
import { type Graph, isOp, type Node, removeDead } from './graph.js'
import { any, applies, type Bound, constant, microOf, type OpNode, op, type Pattern } from './patterns.js'

const origin = (primitive: unknown, params: Params): OpNode['origin'] => ({ kind: 'op', primitive: primitive as Primitive, params })

/** What a node looks at, through reshapes. */
function beneath(node: Node): Node {
  let base = node
  while (applies(base, reshapeRow)) base = base.inputs[0] as Node
  return base
}
/** A pattern of what a node looks at, through reshapes. */
const reshaped =
  (pattern: Pattern): Pattern =>
  (node, bound) =>
    pattern(beneath(node), bound)

interface PoolParams extends Windows {
  window: Shape
  size: Shape
}
const poolOf = (node: Node): PoolParams => (node as OpNode).origin.params as unknown as PoolParams

/** Whether the windows of a pooling lie on its image, none of them over another. */
function apart({ window, stride, padding, dilation, size }: PoolParams, image: Shape): boolean {
  return [0, 1].every((k) => {
    const [cells, step, pad, gap, count] = [window[k], stride[k], padding[k], dilation[k], size[k]] as [
      number,
      number,
      number,
      number,
      number,
    ]
    return gap === 1 && pad === 0 && step >= cells && (count - 1) * step + cells <= (image[k + 1] as number)
  })
}

/** How many rows and columns of an image lie under windows, where those are its first; undefined where they are others. */
function reachOf({ window, stride, padding, dilation, size }: PoolParams, image: Shape): [number, number] | undefined {
  const ends = [0, 1].map((k) => {
    const [cells, step, pad, gap, count] = [window, stride, padding, dilation, size].map((pair) => pair[k] as number) as [
      number,
      number,
      number,
      number,
      number,
    ]
    return gap === 1 && (step <= cells || count === 1) ? Math.min(image[k + 1] as number, (count - 1) * step - pad + cells) : -1
  })
  return ends.every((end) => end >= 0) ? (ends as [number, number]) : undefined
}

/** What of an image does not lie under its first rows and columns. */
function outside([rows, columns]: readonly [number, number], [n, h, w, d]: Shape): { starts: Shape; sizes: Shape }[] {
  const [height, width] = [h as number, w as number]
  const parts = [
    { starts: [0, rows, 0, 0], sizes: [n as number, height - rows, width, d as number] },
    { starts: [0, 0, columns, 0], sizes: [n as number, rows, width - columns, d as number] },
  ]
  return parts.filter(({ sizes }) => sizes.every((size) => size > 0))
}

/**
 * Whether skipping zeros is less work, counted in vectors of 16 that are multiplied: the dense kernels run along D, those that skip
 * along the channels under a row of the window. They read both factors from memory, so they are given two thirds of the speed.
 */
function pays([kh, kw, c, d]: Shape, dilation: Shape, window: Shape): boolean {
  const vectors = (n: number) => Math.ceil(n / 16)
  const [rows, columns, channels, results] = [kh, kw, c, d] as [number, number, number, number]
  const along = dilation[1] === 1 ? columns * channels : channels
  const runs = (rows * columns * channels) / along
  const dense = rows * columns * channels * vectors(results)
  const skipping = (results * runs * vectors(along)) / ((window[0] as number) * (window[1] as number))
  return along >= 16 && 1.5 * skipping <= dense
}

type Make = (origin: OpNode['origin'], inputs: Node[], shape: Shape, dtype: Node['dtype']) => Node

interface Rule {
  name: string
  pattern: Pattern
  /** Rewrites the node in place, unless it does not fit after all. `pooled` gives maxPool of these windows, where the graph has it. */
  rewrite(node: OpNode, bound: Bound, make: Make, pooled: (image: Node, params: unknown) => Node | undefined): void
}

const y = any('y')
const put = op(poolPutRow, any('h'), any('image'))

const rules: readonly Rule[] = [
  {
    name: 'where(y > 0, poolPut(h, y), y) → poolPut(where(m > 0, h, m), y), m = maxPool(y)',
    pattern: op('where', op('greater', y, constant(0)), reshaped(put), any('rest')),
    rewrite(node, { y, h, image, rest }, make, pooled) {
      const scattered = beneath(node.inputs[1] as Node)
      if (beneath(y as Node) !== beneath(image as Node) || beneath(rest as Node) !== beneath(image as Node)) return
      const largest = pooled(image as Node, poolOf(scattered))
      if (!largest || !sameShape((node.inputs[1] as Node).shape, node.shape) || microOf(beneath(y as Node)) !== 'relu') return
      const reach = reachOf(poolOf(scattered), (image as Node).shape)
      if (!reach) return
      const [condition] = node.inputs as [OpNode]
      const above = make(condition.origin, [largest, condition.inputs[1] as Node], largest.shape, 'bool')
      let masked = make(node.origin, [above, h as Node, largest], largest.shape, node.dtype)
      // Outside of all windows y is not looked at: NaN there, relu′ of which is NaN, is added to all that flows back to its channel.
      for (const { starts, sizes } of outside(reach, (image as Node).shape)) {
        const rest = make(origin(sliceRow, { starts, sizes, steps: [1, 1, 1, 1] }), [image as Node], sizes, node.dtype)
        const positive = make(condition.origin, [rest, condition.inputs[1] as Node], sizes, 'bool')
        const nan = make(node.origin, [positive, condition.inputs[1] as Node, rest], sizes, node.dtype)
        const [n, , , d] = sizes as [number, number, number, number]
        const sum = make(origin(sumRow, { first: 1, last: 2 }), [nan], [n, d], node.dtype)
        const each = make(origin(reshapeRow, { shape: [n, 1, 1, d] }), [sum], [n, 1, 1, d], node.dtype)
        const spread = make(origin(broadcastRow, { shape: largest.shape }), [each], largest.shape, node.dtype)
        masked = make(origin(rowOf(add), {}), [masked, spread], largest.shape, node.dtype)
      }
      const back = make((scattered as OpNode).origin, [masked, image as Node], scattered.shape, node.dtype)
      node.origin = origin(reshapeRow, { shape: node.shape })
      node.inputs = [back]
    },
  },
  {
    name: 'Σ(poolPut(h, y)) → Σ(h), over all axes but the channels',
    pattern: op(sumRow, reshaped(put)),
    rewrite(node, { h, image }) {
      const { first, last } = node.origin.params as { first: number; last: number }
      const summed = (node.inputs[0] as Node).shape
      const channels = (h as Node).shape[3]
      if (first !== 0 || last !== summed.length - 2 || summed[summed.length - 1] !== channels) return
      if (!apart(poolOf(beneath(node.inputs[0] as Node)), (image as Node).shape)) return
      node.origin = { ...node.origin, params: { ...node.origin.params, first: 0, last: 2 } }
      node.inputs = [h as Node]
    },
  },
  {
    name: 'convInput(poolPut(h, y), w) → convInputPooled(h, y, w)',
    pattern: op(convInputRow, reshaped(put), any('w')),
    rewrite(node, { h, image, w }) {
      const params = paramsOf(node, node.inputs[0] as Node, (w as Node).shape)
      if (!params) return
      node.origin = origin(convInputPooledRow, params)
      node.inputs = [h as Node, image as Node, w as Node]
    },
  },
  {
    name: 'convWeight(x, poolPut(h, y)) → convWeightPooled(x, h, y)',
    pattern: op(convWeightRow, any('x'), reshaped(put)),
    rewrite(node, { x, h, image }) {
      const params = paramsOf(node, node.inputs[1] as Node, node.shape)
      if (!params) return
      node.origin = origin(convWeightPooledRow, params)
      node.inputs = [x as Node, h as Node, image as Node]
    },
  },
]

/** The parameters of the row that skips zeros in place of a transpose of convolution of weights `w`, where there is one that pays. */
function paramsOf(node: OpNode, gradient: Node, w: Shape): Params | undefined {
  const { stride, padding, dilation, groups, size } = node.origin.params as unknown as Windows & { groups: number; size: Shape }
  const scattered = beneath(gradient)
  const pool = poolOf(scattered)
  const fits = groups === 1 && sameShape(scattered.shape, gradient.shape) && apart(pool, scattered.shape) && pays(w, dilation, pool.window)
  return fits ? { stride, padding, dilation, size, window: pool.window, steps: pool.stride } : undefined
}

/** Nodes are numbered anew. */
export function keepGradientsPooled(graph: Graph): void {
  const puts = graph.nodes.filter((node) => applies(node, poolPutRow))
  if (puts.length === 0) return
  const maxima = graph.nodes.filter((node) => applies(node, maxPoolRow))
  const nodes: Node[] = []
  const seen = new Set<Node>()
  const pooled = (image: Node, params: unknown) =>
    maxima.find((m) => seen.has(m) && m.inputs[0] === image && JSON.stringify(poolOf(m)) === JSON.stringify(params))
  for (const node of graph.nodes) {
    const make: Make = (origin, inputs, shape, dtype) => {
      const made: Node = { id: 0, origin, inputs, shape, dtype, scope: node.scope }
      nodes.push(made)
      return made
    }
    if (isOp(node)) {
      for (const rule of rules) {
        const bound: Bound = {}
        if (!rule.pattern(node, bound)) continue
        rule.rewrite(node, bound, make, pooled)
        break
      }
    }
    nodes.push(node)
    seen.add(node)
  }
  graph.nodes = nodes.map((node, id) => Object.assign(node, { id }))
  removeDead(graph)
}
