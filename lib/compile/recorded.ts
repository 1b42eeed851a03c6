/** One program of a compiled function: recorded for one form of the arguments, run with each call's leaves. */

import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import type { Graph } from '../plan/graph.js'
import type { Lowered } from '../plan/lower.js'
import { lowerGraph, Plan } from '../plan/plan.js'
import { type InputSpec, record } from '../plan/record.js'
import { StateLayout } from '../plan/state-layout.js'
import { type Bindable, withMeeting } from '../primitives/binding.js'
import { innermostLevel, type Traced } from '../primitives/primitive.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import type { Held } from '../util/bounded-cache.js'
import { allocate, type Dtype, isFloat, type TypedArray } from '../util/dtype.js'
import { describe } from '../util/options.js'
import type { Shape } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'
import { type Form, type Leaves, leafForms, treeOf } from './arguments.js'

/** What a result is made of, of each call. */
type Outcome =
  | { readonly kind: 'tensor'; readonly result: number }
  /** A number that was an argument. */
  | { readonly kind: 'number'; readonly leaf: number }
  | { readonly kind: 'constant'; readonly value: unknown }
  | { readonly kind: 'list'; readonly items: readonly Outcome[] }
  | { readonly kind: 'object'; readonly keys: readonly string[]; readonly items: readonly Outcome[] }

/** A tensor that the program makes. */
interface Result {
  readonly input: number
  readonly shape: Shape
  readonly dtype: Dtype
  /** Of an argument whose memory it takes over: the place among the leaves, and its input. */
  donor: number | undefined
}

/** A bindable tensor outside of the function, and what the function assigns to it. */
interface Met {
  readonly place: Bindable
  readonly input: number
  readonly standIn: Tensor
  /** Whether derivatives were taken by it. */
  readonly frozen: boolean
  assigned: number | undefined
}

/** A number among the arguments in one element type. */
interface NumberInput {
  readonly input: number
  readonly leaf: number
  readonly array: TypedArray
}

/** The type in which most of a graph computes. */
function floatingType(graph: Graph): 'float32' | 'float64' {
  let balance = 0
  for (const { dtype } of graph.nodes) balance += dtype === 'float32' ? 1 : dtype === 'float64' ? -1 : 0
  return balance < 0 ? 'float64' : 'float32'
}

export class Recorded implements Held {
  calls = 0
  released = false
  #plan: Plan
  #engine = engine()
  readonly #inputs: InputSpec[] = []
  readonly #results: Result[] = []
  readonly #met: Met[] = []
  readonly #numbers: NumberInput[] = []
  readonly #outcome: Outcome

  /**
   * Records `f` once. Errors: those of `f`; ERR_VALUE_NEEDED where its path depends on values; ERR_LEAKED; ERR_VALUE for a result that is
   * no tree.
   *
   * @param key the form as text
   */
  constructor(
    readonly f: (...args: unknown[]) => unknown,
    readonly form: Form,
    readonly key: string,
  ) {
    let outcome: Outcome | undefined
    const graph = record(
      this.#inputs,
      new StateLayout(),
      (recorder) => {
        const read = (name: string, shape: Shape, dtype: Dtype): { input: number; tensor: Tensor } => {
          const input = this.#inputs.push({ name, shape, dtype }) - 1
          return { input, tensor: recorder.input(input) }
        }
        const write = (value: Tensor): number => {
          const { shape, dtype } = value
          const input = this.#inputs.push({ name: `result ${this.#results.length}`, shape, dtype, writable: true }) - 1
          recorder.output(input, value)
          return this.#results.push({ input, shape: [...shape], dtype, donor: undefined }) - 1
        }
        const numbers = new Map<Tensor, number>()
        const args = this.#arguments(read, numbers)
        const known = new Map<Bindable, Met>()
        const meet = (place: Bindable): Tensor => {
          let met = known.get(place)
          if (met === undefined) {
            const { input, tensor } = read(`parameter ${known.size}`, place.shape, place.dtype)
            met = { place, input, standIn: tensor, frozen: place.frozen, assigned: undefined }
            known.set(place, met)
            this.#met.push(met)
          }
          return met.standIn
        }
        withMeeting({ level: innermostLevel(), meet }, () => {
          outcome = this.#returned(f(...args), 'the result', write, numbers)
          for (const met of this.#met) {
            const { binding } = met.place
            if (binding !== undefined && binding !== met.standIn) met.assigned = write(binding)
          }
        })
      },
      'compile',
    )
    this.#outcome = outcome as Outcome
    const lowered = lowerGraph(graph, this.#inputs, new StateLayout(), { dtype: floatingType(graph), atomic: false })
    this.#plan = new Plan(withOwnConstants(lowered))
  }

  /** What `f` is called with: tensors that stand for the leaves. */
  #arguments(
    read: (name: string, shape: Shape, dtype: Dtype) => { tensor: Tensor; input: number },
    numbers: Map<Tensor, number>,
  ): unknown[] {
    const leaves = leafForms(this.form)
    const beside = leaves.flatMap((leaf) => (leaf.kind !== 'number' && isFloat(leaf.dtype) ? [leaf.dtype] : []))
    const like = beside.length > 0 && !beside.includes('float64') ? 'float32' : 'float64'
    // The arrays come first: a call hands them over as they were collected.
    const tensors = leaves.flatMap((leaf, i) => {
      if (leaf.kind === 'number') return []
      return [read(`argument ${i}`, leaf.kind === 'tensor' ? leaf.shape : [leaf.size], leaf.dtype).tensor]
    })
    let next = 0
    let nextNumber = 0
    return treeOf(this.form, {
      tensor: () => tensors[next++],
      number: () => {
        const leaf = nextNumber++
        const { integer } = leaves.filter(({ kind }) => kind === 'number')[leaf] as Form & { kind: 'number' }
        const made = new Map<Dtype, Tensor>()
        const as = (dtype: Dtype): Tensor => {
          let tensor = made.get(dtype)
          if (tensor === undefined) {
            const { input, tensor: fresh } = read(`number ${leaf}`, [], dtype)
            this.#numbers.push({ input, leaf, array: allocate(dtype, 1) })
            tensor = fresh
            made.set(dtype, tensor)
          }
          return tensor
        }
        const standIn = as(like) as Traced
        // In its own type it is a tensor that stands for a number; among others it takes theirs.
        standIn.number = { integer, as }
        numbers.set(standIn, leaf)
        return standIn
      },
    }) as unknown[]
  }

  #returned(value: unknown, place: string, write: (value: Tensor) => number, numbers: ReadonlyMap<Tensor, number>): Outcome {
    if (value instanceof Tensor) {
      const leaf = numbers.get(value)
      return leaf === undefined ? { kind: 'tensor', result: write(value) } : { kind: 'number', leaf }
    }
    if (Array.isArray(value)) return { kind: 'list', items: value.map((item, i) => this.#returned(item, `${place}[${i}]`, write, numbers)) }
    if (isPlainObject(value)) {
      const keys = Object.keys(value)
      return { kind: 'object', keys, items: keys.map((key) => this.#returned(value[key], `${place}.${key}`, write, numbers)) }
    }
    if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return { kind: 'constant', value }
    const hint = value instanceof Promise ? '; the function itself is synchronous, .async runs it off the main thread' : ''
    throw new WengertError(
      'ERR_VALUE',
      `compile: ${place} of the function must be a tensor, a number or a tree of them, got ${value instanceof Promise ? 'a promise' : describe(value)}${hint}`,
      { expected: 'a tree of tensors and numbers', actual: value },
    )
  }

  get bytes(): number {
    return this.#plan.bytes
  }

  release(): void {
    this.released = true
    this.#plan.release()
  }

  /** Whether what the recording took for granted beside its arguments is so still. */
  get holds(): boolean {
    const met = this.#met
    for (let i = 0; i < met.length; i++) if ((met[i] as Met).place.frozen !== (met[i] as Met).frozen) return false
    return true
  }

  /** The plan, for the engine in use. */
  get plan(): Plan {
    const now = engine()
    if (now !== this.#engine) {
      this.#plan.release()
      this.#plan = new Plan(this.#plan.lowered)
      this.#engine = now
    }
    return this.#plan
  }

  /** The arrays of the plan's inputs for a call. `outputs` follow the order of the results. */
  #bind(leaves: Leaves, outputs: readonly TypedArray[]): TypedArray[] {
    const arrays: TypedArray[] = new Array(this.#inputs.length)
    const given = leaves.arrays
    for (let i = 0; i < given.length; i++) arrays[i] = given[i] as TypedArray
    const numbers = this.#numbers
    for (let i = 0; i < numbers.length; i++) {
      const { input, leaf, array } = numbers[i] as NumberInput
      array[0] = leaves.numbers[leaf] as number
      arrays[input] = array
    }
    const met = this.#met
    for (let i = 0; i < met.length; i++) {
      const { input, place } = met[i] as Met
      arrays[input] = place.resolve().data
    }
    for (let i = 0; i < outputs.length; i++) arrays[(this.#results[i] as Result).input] = outputs[i] as TypedArray
    return arrays
  }

  /** Errors: ERR_BUSY where a buffer that the function assigns is being trained. */
  #ready(): void {
    const met = this.#met
    for (let i = 0; i < met.length; i++) {
      const { assigned, place } = met[i] as Met
      if (assigned !== undefined) place.refuseWhileBusy('compile')
    }
  }

  #fresh(): Tensor[] {
    const results = this.#results
    const tensors: Tensor[] = new Array(results.length)
    for (let i = 0; i < results.length; i++) {
      const { shape, dtype } = results[i] as Result
      tensors[i] = emptyTensor(shape, dtype)
    }
    return tensors
  }

  /** One call. */
  run(leaves: Leaves): unknown {
    this.#ready()
    const tensors = this.#fresh()
    this.plan.run(
      undefined,
      this.#bind(
        leaves,
        tensors.map((y) => y.data),
      ),
    )
    return this.#finish(leaves, tensors)
  }

  /** One call off the main thread; the arguments may be changed as soon as this has returned its promise. */
  async runAside(leaves: Leaves): Promise<unknown> {
    this.#ready()
    const tensors = this.#fresh()
    await this.plan.runAside(
      'compile',
      this.#bind(
        leaves,
        tensors.map((y) => y.data),
      ),
    )
    return this.#finish(leaves, tensors)
  }

  /** Hands over what a run made. */
  #finish(leaves: Leaves, tensors: readonly Tensor[]): unknown {
    this.calls++
    for (const { assigned, place } of this.#met) if (assigned !== undefined) place.assign(tensors[assigned] as Tensor)
    return rebuild(this.#outcome, tensors, leaves.numbers)
  }

  /** The arrays that `profile` runs on. */
  scratch(leaves: Leaves): TypedArray[] {
    return this.#bind(
      leaves,
      this.#fresh().map((y) => y.data),
    )
  }
}

function rebuild(outcome: Outcome, tensors: readonly Tensor[], numbers: readonly number[]): unknown {
  switch (outcome.kind) {
    case 'tensor':
      return tensors[outcome.result]
    case 'number':
      return numbers[outcome.leaf]
    case 'constant':
      return outcome.value
    case 'list': {
      const { items } = outcome
      const list: unknown[] = new Array(items.length)
      for (let i = 0; i < items.length; i++) list[i] = rebuild(items[i] as Outcome, tensors, numbers)
      return list
    }
    case 'object': {
      const { keys, items } = outcome
      const object: Record<string, unknown> = {}
      for (let i = 0; i < keys.length; i++) object[keys[i] as string] = rebuild(items[i] as Outcome, tensors, numbers)
      return object
    }
  }
}

/** Constants are as they were when the function was recorded: what happens to their arrays later changes no program. */
function withOwnConstants(lowered: Lowered): Lowered {
  const counters = new Set<unknown>(lowered.draws.map(({ counter }) => counter))
  return { ...lowered, constants: lowered.constants.map((data) => (counters.has(data) ? data : (data.slice() as TypedArray))) }
}
