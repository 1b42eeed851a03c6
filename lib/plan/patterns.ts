/**
 * Patterns of nodes, for passes that are tables of pattern → rewrite. A pattern holds for a node or it does not, and binds
 * names to the nodes that it met.
 */

import type { ElementwiseOp } from '../backend/program.js'
import { microOps } from '../primitives/micro-ops.js'
import { isOp, type Node, type Origin, scalarConstant } from './graph.js'

type Row = { readonly name: string }
export type OpNode = Node & { origin: Extract<Origin, { kind: 'op' }> }

/** What a pattern found. */
export type Bound<Name extends string = string> = Record<Name, Node>
/** Whether the node fits; adds to `bound`, which is of no use where it does not. */
export type Pattern = (node: Node, bound: Bound) => boolean

/** Whether a node applies this row. */
export function applies(node: Node, row: Row): node is OpNode {
  return isOp(node) && (node.origin.primitive as Row) === row
}

/** The micro-operation that a node is, where it is one. */
export const microOf = (node: Node): ElementwiseOp | undefined => (isOp(node) ? microOps.get(node.origin.primitive) : undefined)

/** Any node, under a name. */
export const any =
  (name: string): Pattern =>
  (node, bound) => {
    bound[name] = node
    return true
  }

/** A constant number. */
export const constant =
  (value: number): Pattern =>
  (node) =>
    scalarConstant(node) === value

/** A row, or an elementwise operation by name, applied to operands that fit; all operands where none are given. */
export const op =
  (row: Row | ElementwiseOp, ...operands: readonly Pattern[]): Pattern =>
  (node, bound) =>
    (typeof row === 'string' ? microOf(node) === row : applies(node, row)) &&
    operands.every((pattern, i) => node.inputs[i] !== undefined && pattern(node.inputs[i] as Node, bound))

/** The first of some patterns that fits. */
export const either =
  (...patterns: readonly Pattern[]): Pattern =>
  (node, bound) =>
    patterns.some((pattern) => {
      const own: Bound = {}
      return pattern(node, own) && Object.assign(bound, own) !== undefined
    })

/** An operation whose operands may be exchanged. */
export const symmetric = (row: Row | ElementwiseOp, a: Pattern, b: Pattern): Pattern => either(op(row, a, b), op(row, b, a))

/** A pattern that fits only where a condition holds too. */
export const where =
  (pattern: Pattern, holds: (node: Node) => boolean): Pattern =>
  (node, bound) =>
    pattern(node, bound) && holds(node)
