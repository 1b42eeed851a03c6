/** One program of a compiled function: recorded for one form of the arguments, run with each call's leaves. */

import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { type Graph, isLoop } from '../plan/graph.js'
import type { Lowered } from '../plan/lower.js'
import { lowerGraph, Plan } from '../plan/plan.js'
import { type InputSpec, record } from '../plan/record.js'
import { StateLayout } from '../plan/state-layout.js'
import { type Bindable, type Flagged, withMeeting } from '../primitives/binding.js'
import { innermostLevel, type Traced } from '../primitives/primitive.js'
import { emptyTensor, setMemory, Tensor } from '../tensor/tensor.js'
import type { Held } from '../util/bounded-cache.js'
import { allocate, type Dtype, isFloat, type TypedArray } from '../util/dtype.js'
import { describe } from '../util/options.js'
import type { Shape } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'
import { donorsOf, type Form, isInteger, type Leaves, leafForms, treeOf } from './arguments.js'
import { overDonors } from './donate.js'
import { type Outcome, rebuild } from './outcome.js'

/** A tensor that the program makes. */
interface Result {
  readonly input: number
  readonly shape: Shape
  readonly dtype: Dtype
  /** The array among the leaves whose memory it takes over. */
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
  const count = ({ nodes }: Graph): void => {
    for (const node of nodes) {
      if (isLoop(node)) count(node.origin.loop.body)
      else balance += node.dtype === 'float32' ? 1 : node.dtype === 'float64' ? -1 : 0
    }
  }
  count(graph)
  return balance < 0 ? 'float64' : 'float32'
}

export class Recorded implements Held {
  calls = 0
  released = false
  #plan: Plan
  /** Runs off the main thread write nothing over their arguments. */
  readonly #plain: Lowered
  #plainPlan: Plan | undefined
  /** Places among the arrays, and among the tensors, of what is donated. */
  readonly #donated: readonly number[]
  readonly #spent: readonly number[]
  #engine = engine()
  readonly #inputs: InputSpec[] = []
  readonly #results: Result[] = []
  readonly #met: Met[] = []
  readonly #numbers: NumberInput[] = []
  /** Modules that behave in one way in training and in another in use, and in which they did. */
  readonly #flags = new Map<Flagged, boolean>()
  /** Of numbers whose being integers decided a type: whether they were. */
  readonly #decided: { readonly leaf: number; readonly integer: boolean }[] = []
  readonly #outcome: Outcome

  /**
   * Records `f` once. Errors: those of `f`; ERR_VALUE_NEEDED where its path depends on values; ERR_LEAKED; ERR_VALUE for a result that is
   * no tree.
   *
   * @param key under which it is kept: the form as text
   * @param numbers those of the first call
   * @param donate positions of arguments whose memory results may take over
   */
  constructor(
    readonly f: (...args: unknown[]) => unknown,
    readonly form: Form,
    readonly key: string,
    numbers: readonly number[],
    donate: readonly number[] = [],
  ) {
    const places = donorsOf(form, donate)
    this.#donated = places.arrays
    this.#spent = places.tensors
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
        const standIns = new Map<Tensor, number>()
        const args = this.#arguments(read, standIns, numbers)
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
        const note = (owner: Flagged, training: boolean) => {
          if (!this.#flags.has(owner)) this.#flags.set(owner, training)
        }
        withMeeting({ level: innermostLevel(), meet, note }, () => {
          outcome = this.#returned(f(...args), 'the result', write, standIns)
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
    this.#plain = withOwnConstants(lowered)
    const written = this.#results.map(({ input }) => input)
    // The arrays of the arguments are the first inputs.
    const { program, taken } = overDonors(lowered.program, written, this.#donated)
    for (const result of this.#results) result.donor = taken.get(result.input)
    this.#plan = new Plan({ ...this.#plain, program })
  }

  /** What `f` is called with: tensors that stand for the leaves. */
  #arguments(
    read: (name: string, shape: Shape, dtype: Dtype) => { tensor: Tensor; input: number },
    numbers: Map<Tensor, number>,
    values: readonly number[],
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
        const integer = isInteger(values[leaf] as number)
        const decided = this.#decided
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
        standIn.number = {
          get integer() {
            if (!decided.some((known) => known.leaf === leaf)) decided.push({ leaf, integer })
            return integer
          },
          as,
        }
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
    return this.#plan.bytes + (this.#plainPlan?.bytes ?? 0)
  }

  release(): void {
    this.released = true
    this.#plan.release()
    this.#plainPlan?.release()
  }

  /** Whether what the recording took for granted beside its arguments is so still. */
  holdsFor(numbers: readonly number[]): boolean {
    const decided = this.#decided
    for (let i = 0; i < decided.length; i++) {
      const { leaf, integer } = decided[i] as { leaf: number; integer: boolean }
      if (isInteger(numbers[leaf] as number) !== integer) return false
    }
    for (const [owner, training] of this.#flags) if (owner.training !== training) return false
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
      this.#plainPlan?.release()
      this.#plainPlan = undefined
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
    if (this.#donated.length > 0) this.#refuseShared(arrays)
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

  /** Errors: ERR_VALUE where donated memory is read as something else, too. */
  #refuseShared(arrays: readonly TypedArray[]): void {
    for (const i of this.#donated) {
      const own = arrays[i] as TypedArray
      const end = own.byteOffset + own.byteLength
      for (let k = 0; k < arrays.length; k++) {
        const other = arrays[k] as TypedArray
        if (k === i || this.#inputs[k]?.writable || other.buffer !== own.buffer || own.length === 0) continue
        if (other.byteOffset < end && own.byteOffset < other.byteOffset + other.byteLength)
          throw new WengertError(
            'ERR_VALUE',
            `compile: the memory of a donated argument is also that of ${this.#inputs[k]?.name}: donate a copy, or leave it out of donate`,
          )
      }
    }
  }

  /** Tensors for the results, those over donated memory among them. */
  #fresh(leaves: Leaves): Tensor[] {
    const results = this.#results
    const tensors: Tensor[] = new Array(results.length)
    for (let i = 0; i < results.length; i++) {
      const { shape, dtype, donor } = results[i] as Result
      tensors[i] = donor === undefined ? emptyTensor(shape, dtype) : new Tensor(shape, dtype, leaves.arrays[donor] as TypedArray)
    }
    return tensors
  }

  /** One call. */
  run(leaves: Leaves): unknown {
    this.#ready()
    const tensors = this.#fresh(leaves)
    this.plan.run(undefined, this.#bind(leaves, this.#written(tensors)))
    for (const i of this.#spent) setMemory(leaves.tensors[i] as Tensor, undefined)
    return this.#finish(leaves, tensors)
  }

  /** One call off the main thread; the arguments may be changed as soon as this has returned its promise. */
  async runAside(leaves: Leaves): Promise<unknown> {
    this.#ready()
    const { plan } = this
    const tensors = this.#fresh(leaves)
    const arrays = this.#bind(
      leaves,
      tensors.map((y) => y.data),
    )
    this.#plainPlan ??= this.#donated.length === 0 ? plan : new Plan(this.#plain)
    const running = this.#plainPlan.runAside('compile', arrays)
    const spent = this.#spent.map((i) => [leaves.tensors[i] as Tensor, (leaves.tensors[i] as Tensor).data] as const)
    for (const [x] of spent) setMemory(x, undefined)
    try {
      await running
    } catch (error) {
      for (const [x, data] of spent) setMemory(x, data)
      throw error
    }
    return this.#finish(leaves, tensors)
  }

  /** Hands over what a run made. */
  #finish(leaves: Leaves, tensors: readonly Tensor[]): unknown {
    this.calls++
    for (const { assigned, place } of this.#met) if (assigned !== undefined) place.assign(tensors[assigned] as Tensor)
    return rebuild(this.#outcome, tensors, leaves.numbers)
  }

  /** What a run on this thread writes beside its arguments: the results, those apart that lie in one. */
  #written(tensors: readonly Tensor[]): TypedArray[] {
    const arrays: TypedArray[] = new Array(tensors.length)
    for (let i = 0; i < tensors.length; i++) {
      const { donor, dtype } = this.#results[i] as Result
      arrays[i] = donor === undefined ? (tensors[i] as Tensor).data : nothing[dtype]
    }
    return arrays
  }

  /** The arrays that `profile` runs on: donated ones are copied. */
  scratch(leaves: Leaves): TypedArray[] {
    const arrays = leaves.arrays.map((data, i) => (this.#donated.includes(i) ? (data.slice() as TypedArray) : data))
    const own = { ...leaves, arrays }
    return this.#bind(own, this.#written(this.#fresh(own)))
  }
}

/** In the place of a result that lies in an argument. */
const nothing: Readonly<Record<Dtype, TypedArray>> = {
  float32: allocate('float32', 0),
  float64: allocate('float64', 0),
  int32: allocate('int32', 0),
  bool: allocate('bool', 0),
}

/** Constants are as they were when the function was recorded: what happens to their arrays later changes no program. */
function withOwnConstants(lowered: Lowered): Lowered {
  const counters = new Set<unknown>(lowered.draws.map(({ counter }) => counter))
  return { ...lowered, constants: lowered.constants.map((data) => (counters.has(data) ? data : (data.slice() as TypedArray))) }
}
