/**
 * Closed functions: a function that has run once, as a graph whose inputs are its arguments *and whatever it closed over*.
 * Running it closes it: an operation on any traced tensor lands in the graph, and a tensor of an outer trace that is met
 * becomes an input. A graph can be evaluated on other inputs (`replay`), at any level of nesting, so that all derivatives of it
 * are derivatives with respect to what was closed over too. Loops and conditions are made of such graphs.
 */

import { WengertError } from '../errors.js'
import { boundPlaces } from '../primitives/binding.js'
import { apply, atNextLevel, below, capturedBy, type Params, type Primitive, refuseLeaked, Traced } from '../primitives/primitive.js'
import { withScope } from '../primitives/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { describe } from '../util/options.js'
import { Dual, ForwardTrace } from './forward.js'
import { pullBack } from './reverse.js'
import { Tape, Variable } from './tape.js'

/** One operation of a graph, without its value; those without a primitive are the inputs, in order. */
export interface Step {
  readonly primitive: Primitive | undefined
  readonly params: Params
  /** For each operand the step that makes it, or −1 for a constant. */
  readonly sources: readonly number[]
  /** The operands that are constants. */
  readonly constants: readonly (Tensor | undefined)[]
  /** The part of a model that it came from. */
  readonly scope: string
}

export type Maybe = Tensor | undefined

/** What is computed from the inputs of a graph: a step, or a constant. */
export type Result = number | Tensor

/** A function as a list of steps, each after those that it reads. */
export interface Graph {
  readonly steps: readonly Step[]
  readonly outputs: readonly Result[]
}

/**
 * Evaluates a graph: applies its primitives to other inputs, traced or not. What no output needs is not computed, and a value
 * is let go after its last use.
 *
 * @param inputs one for each step without a primitive, in order
 * @param known values that some steps are known to have for these inputs
 */
export function replay({ steps, outputs }: Graph, inputs: readonly Tensor[], known: readonly (Tensor | undefined)[] = []): Tensor[] {
  const lastUse = known.length === 0 ? lastUses(outputs, steps) : findLastUses(outputs, steps, known)
  const values: (Tensor | undefined)[] = []
  let next = 0
  steps.forEach(({ primitive, params, sources, constants, scope }, i) => {
    const given = primitive === undefined ? inputs[next++] : known[i]
    if (!lastUse.has(i)) return
    values[i] = given
    if (primitive === undefined || given !== undefined) return
    const operands = sources.map((s, k) => (s >= 0 ? values[s] : constants[k]) as Tensor)
    values[i] = withScope(scope, () => apply(primitive, operands, params), true)
    for (const s of sources) if (lastUse.get(s) === i) values[s] = undefined
  })
  return outputs.map((y) => (typeof y === 'number' ? (values[y] as Tensor) : y))
}

/** Of each step that is needed, the last that reads it. */
function findLastUses(outputs: Graph['outputs'], steps: Graph['steps'], known: readonly (Tensor | undefined)[]): Map<number, number> {
  const lastUse = new Map<number, number>()
  for (const y of outputs) if (typeof y === 'number') lastUse.set(y, steps.length)
  for (let i = steps.length - 1; i >= 0; i--) {
    if (!lastUse.has(i) || known[i] !== undefined) continue
    for (const s of (steps[i] as Step).sources) if (s >= 0 && !lastUse.has(s)) lastUse.set(s, i)
  }
  return lastUse
}

/** The same, remembered: a loop evaluates one graph many times. */
const rememberedUses = new WeakMap<Graph['outputs'], Map<number, number>>()
function lastUses(outputs: Graph['outputs'], steps: Graph['steps']): Map<number, number> {
  let found = rememberedUses.get(outputs)
  if (found === undefined) {
    found = findLastUses(outputs, steps, [])
    rememberedUses.set(outputs, found)
  }
  return found
}

/** Records over what is below all traces; a tensor of another trace that is met becomes an input. */
class Capture extends Tape {
  /** What the inputs are outside. */
  readonly outside: Tensor[] = []
  readonly #met = new Map<Traced, Variable>()

  constructor(
    level: number,
    name: string,
    /** Whether tensors of traces that have ended may be met: by a pullback, called when its function has returned. */
    readonly late: boolean,
  ) {
    super(level, true, false, name)
  }

  override watch(value: Tensor): Variable {
    const outside = value.resolve()
    this.outside.push(outside)
    return super.watch(below(outside))
  }

  override lowerOf(x: Tensor): Tensor {
    return x instanceof Traced ? this.#own(x).value : x
  }

  override indexOf(x: Tensor): number {
    return x instanceof Traced ? this.#own(x).index : -1
  }

  #own(x: Traced): Variable {
    if (x.trace === this) return x as Variable
    if (!this.late && !x.trace.open) refuseLeaked(this.name, x)
    let variable = this.#met.get(x)
    if (variable === undefined) {
      variable = this.watch(x)
      this.#met.set(x, variable)
    }
    return variable
  }
}

/** A function closed over its arguments and captures. */
export interface Closed {
  readonly graph: Graph
  /** The arguments, then what was captured, as they are seen outside. */
  readonly inputs: readonly Tensor[]
  /** The inputs below all traces, and the values of the steps there. */
  readonly ground: readonly Tensor[]
  readonly values: readonly Tensor[]
  /** The values of the outputs below all traces. */
  readonly outputs: readonly Tensor[]
  /** The step that made a tensor which the function saw; undefined for any other. */
  readonly stepOf: (x: Tensor) => number | undefined
}

/**
 * Runs `f` once, below all traces, and closes it.
 *
 * @param late whether `f` may meet tensors of functions that have returned
 */
export function close(name: string, f: (...args: Tensor[]) => readonly Tensor[], args: readonly Tensor[], late = false): Closed {
  const { tape, closed } = atNextLevel((level) => {
    const tape = new Capture(level, name, late)
    const inner = args.map((x) => tape.watch(x))
    const results = capturedBy(tape, () => f(...inner)).map((y) => {
      if (!(y instanceof Tensor))
        throw new WengertError('ERR_VALUE', `${name}: the function must return tensors, got ${describe(y)}`, { actual: y })
      return y.resolve()
    })
    const outputs = results.map((y): Result => {
      const index = tape.indexOf(y)
      return index < 0 ? y : index
    })
    const closed: Closed = {
      graph: { outputs, steps: stepsOf(tape) },
      inputs: tape.outside,
      ground: tape.outside.map((x) => below(x)),
      values: tape.entries.map(({ output }) => output),
      outputs: results.map((y) => tape.lowerOf(y)),
      stepOf: (x) => (x instanceof Variable && x.trace === tape ? x.index : undefined),
    }
    return { tape, closed }
  })
  // What the function assigned to buffers is known outside as what makes it there.
  for (const place of boundPlaces()) {
    const { binding } = place
    if (binding instanceof Variable && binding.trace === tape)
      [place.binding] = replay({ steps: closed.graph.steps, outputs: [binding.index] }, closed.inputs)
  }
  return closed
}

function stepsOf(tape: Tape): Step[] {
  return tape.entries.map(({ primitive, params, sources, inputs, scope }) => ({
    primitive,
    params,
    sources,
    constants: inputs.map((x, i) => ((sources[i] as number) < 0 ? x : undefined)),
    scope,
  }))
}

/** Whether two lists hold the same tensors. */
export const sameTensors = (a: readonly Tensor[], b: readonly Tensor[]): boolean => a.length === b.length && a.every((x, i) => x === b[i])

/** The values of a graph's outputs, and their tangents. */
export function pushBoth(graph: Graph, inputs: readonly Tensor[], tangents: readonly Maybe[]): { value: Tensor; tangent: Maybe }[] {
  return atNextLevel((level) => {
    const trace = new ForwardTrace(level, 'jvp')
    const duals = inputs.map((x, i) => {
      const t = tangents[i]
      return t ? new Dual(trace, x, t) : x
    })
    return replay(graph, duals).map((y) => (trace.owns(y) ? { value: y.value, tangent: y.tangent } : { value: y, tangent: undefined }))
  })
}

/** The tangents of a graph's outputs. */
export const pushThrough = (graph: Graph, inputs: readonly Tensor[], tangents: readonly Maybe[]): Maybe[] =>
  pushBoth(graph, inputs, tangents).map(({ tangent }) => tangent)

/** The cotangents of those inputs of a graph that are wanted. */
export function pullThrough(graph: Graph, inputs: readonly Tensor[], cotangents: readonly Tensor[], wanted: readonly boolean[]): Maybe[] {
  const [tape, outputs] = atNextLevel((level) => {
    const recording = new Tape(level, false, false, 'vjp')
    return [
      recording,
      replay(
        graph,
        inputs.map((x, i) => (wanted[i] ? recording.watch(x) : x)),
      ),
    ] as const
  })
  const found = pullBack(tape, outputs, cotangents)
  let next = 0
  return wanted.map((yes) => (yes ? found[next++] : undefined))
}
