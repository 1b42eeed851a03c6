/** The computational graph of a tape (Figures 3.13 and 3.14), in Graphviz's language and as SVG. */

import { add } from '../primitives/elementwise.js'
import type { Primitive } from '../primitives/primitive.js'
import type { TensorLike } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { formatShape } from '../util/shape.js'
import type { Entry, Tape } from './tape.js'
import { type Contribution, formatValue, notationOf, type Script } from './written.js'

/** A seed for one input (its tangent) or output (its adjoint); a number fills the whole shape. */
export type Seed = number | TensorLike

/** What a drawn tape shows besides its operations. */
export interface DrawOptions {
  /** Write what flows back along each edge, too. */
  adjoints?: boolean
  /** Write the tangent of each edge, too: in the direction of the first input where true, else of a seed for each input. */
  tangents?: boolean | readonly Seed[] | undefined
  /** Left to right (default) or top to bottom. */
  direction?: 'LR' | 'TB' | undefined
}

const ink = '#1f2328'
const back = '#b3261e'
const forth = '#1a5fb4'
const faint = '#6b7280'

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`

/** `v₁ = 0.6931` for a number or a pair, `v₁ [2, 3]` for more. */
function named(name: string, value: Tensor): string {
  const text = formatValue(value, 4, 2)
  return text.startsWith(value.dtype) ? `${name} ${formatShape(value.shape)}` : `${name} = ${text}`
}

/** What is written on the edges beside the values: what flows back along each, the tangent of each value. */
export interface Flows {
  readonly contributions?: ReadonlyMap<number, readonly Contribution[]>
  readonly tangents?: readonly (Tensor | undefined)[]
}

/** The graph. */
export function dotOf(tape: Tape, script: Script, { direction = 'LR' }: DrawOptions, { contributions, tangents }: Flows): string {
  /** `v̇₁ = 0.5` for the value of an entry; a tangent that is nothing is 0. */
  const moving = (index: number, name: string): string | undefined => {
    const tangent = tangents?.[index]
    return tangents && (tangent ? named(name, tangent) : `${name} = 0`)
  }
  const groups = new Map<string, string[]>()
  const edges: string[] = []
  const loose: string[] = []
  const put = (scope: string, line: string) => {
    const list = groups.get(scope)
    if (list) list.push(line)
    else groups.set(scope, [line])
  }
  const edge = (from: string, to: string, label: string, forward?: string, backward?: string) => {
    const lines = [
      `<font color="${ink}">${escape(label)}</font>`,
      ...(forward ? [`<font color="${forth}">${escape(forward)}</font>`] : []),
      ...(backward ? [`<font color="${back}">${escape(backward)}</font>`] : []),
    ]
    edges.push(`  ${from} -> ${to} [label=<${lines.map((line) => `&#160;${line}&#160;`).join('<br/>')}>]`)
  }

  tape.entries.forEach((entry, index) => {
    if (entry.primitive === undefined) {
      const lines: [color: string, line: string][] = [[ink, script.names.inputs[index] as string]]
      const forward = moving(index, script.inputTangent(index))
      if (forward) lines.push([forth, forward])
      const total = contributions && sumOf(contributions.get(index))
      if (total) lines.push([back, named(script.inputAdjoint(index), total)])
      const label = lines.map(([color, line]) => `<font color="${color}">${escape(line)}</font>`).join('<br/>')
      loose.push(`  n${index} [label=<${label}>, shape=box, style="rounded,filled", fillcolor="#eef2ff"]`)
      return
    }
    put(entry.scope, `  n${index} [label=${quoted(operation(entry, entry.primitive, script))}]`)
    entry.sources.forEach((source, operand) => {
      if (source < 0) {
        const { size } = entry.inputs[operand] as Tensor
        if (size === 1) return
        const name = script.operand(entry, operand).text
        loose.push(
          `  k${index}_${operand} [label=${quoted(`${name} ${formatShape((entry.inputs[operand] as Tensor).shape)}`)}, shape=plaintext]`,
        )
        edges.push(`  k${index}_${operand} -> n${index} [color="${faint}"]`)
        return
      }
      const flow = contributions?.get(source)?.find((c) => c.consumer === index && c.operand === operand)
      const several = (contributions?.get(source)?.length ?? 0) > 1 || tape.outputs.includes(source)
      const backward = flow && named(script.adjointOf(source), flow.value).replace(' = ', several ? ' += ' : ' = ')
      const value = named(script.variable(source), (tape.entries[source] as Entry).output)
      edge(`n${source}`, `n${index}`, value, moving(source, script.tangentOf(source)), backward)
    })
  })
  tape.outputs.forEach((index, k) => {
    loose.push(`  y${k} [label=${quoted(script.names.outputs[k] as string)}, shape=box, style="rounded,filled", fillcolor="#ecfdf3"]`)
    if (index < 0) return
    const entry = tape.entries[index] as Entry
    const backward = contributions && `${script.adjointOf(index)} = 1`
    edge(`n${index}`, `y${k}`, named(script.variable(index), entry.output), moving(index, script.tangentOf(index)), backward)
  })

  const clusters = [...groups].flatMap(([scope, lines], i) =>
    scope === ''
      ? lines
      : [
          `  subgraph cluster_${i} {`,
          `    label=${quoted(scope)}; fontcolor="${faint}"; color="#d0d7de"; style=rounded`,
          ...lines.map((l) => `  ${l}`),
          '  }',
        ],
  )
  return [
    'digraph tape {',
    `  rankdir=${direction}; bgcolor=white; fontname="Helvetica"; fontsize=10; nodesep=0.35; ranksep=0.5`,
    `  node [shape=box, style="rounded", fontname="Helvetica", fontsize=13, height=0.3, width=0.3, margin="0.08,0.04", color="${ink}"]`,
    `  edge [fontname="Helvetica", fontsize=10, arrowsize=0.6, color="${faint}"]`,
    ...loose,
    ...clusters,
    ...edges,
    '}',
  ]
    .join('\n')
    .normalize('NFC')
}

/** An operation's symbol, with a number that it takes as a constant. */
function operation(entry: Entry, primitive: Primitive, script: Script): string {
  const parts = entry.sources.flatMap((source, i) =>
    source < 0 && (entry.inputs[i] as Tensor).size === 1 ? [{ first: i === 0, text: script.operand(entry, i).text }] : [],
  )
  const { symbol } = notationOf(primitive)
  return [...parts.filter((p) => p.first).map((p) => p.text), symbol, ...parts.filter((p) => !p.first).map((p) => p.text)].join(' ')
}

function sumOf(list: readonly Contribution[] | undefined): Tensor | undefined {
  return list?.map((c) => c.value).reduce((a, b) => add(a, b))
}

/** Lays a graph out. */
export async function svgOf(dot: string): Promise<string> {
  const { instance } = await import('@viz-js/viz')
  const svg = (await instance()).renderString(dot, { format: 'svg' })
  return svg.replace(/<svg[^>]*>/, (tag) => `${tag}\n<title>The computational graph of a tape</title>`)
}
