/**
 * The home of a model's parameters while a trainer owns them: their slots in a private state block, beside the
 * optimiser's. JavaScript's arrays and the block are brought together only here, on the JavaScript thread.
 */

import type { Backend, State } from '../backend/backend.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import type { Module } from '../nn/module.js'
import type { Home, Parameter } from '../nn/parameter.js'
import type { Optimizer } from '../optim/optimizer.js'
import { StateLayout, type StateSlot } from '../plan/state-layout.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type Dtype } from '../util/dtype.js'
import { type Shape, sizeOf } from '../util/shape.js'
import { inTurn, type Piece, readPieces, Snapshot } from './slices.js'

/** One parameter's slots: its own, the optimiser's, and the accumulator of its gradient, or −1. */
export interface ParameterSlots {
  readonly name: string
  readonly parameter: Parameter
  readonly slot: number
  readonly trained: boolean
  /** A frozen parameter keeps those of the time when it was trained. */
  readonly optimizer: readonly number[]
  readonly gradient: number
  /** Updates made of the parameter before this layout. */
  readonly made: number
  /** The place of its count of updates in `groups`. */
  readonly group: number
}

/** What a new layout takes over: how many updates the trainer has made, and how many of them moved each parameter. */
export interface Memory {
  readonly updates: number
  made(name: string, parameter: Parameter): number
  /** The layout before, whose optimiser state is carried over, parameter by parameter. */
  readonly before?: TrainingState | undefined
}

let layouts = 0

export class TrainingState implements Home {
  /** Of this layout alone, for keys. */
  readonly id = ++layouts
  readonly layout = new StateLayout()
  /** The model's parameters and, untrained, its buffers. */
  readonly parameters: readonly ParameterSlots[]
  /**
   * By how many updates parameters lag behind the trainer: an optimiser that counts its updates has scalars for each of these
   * groups. Nearly always [0], since nearly always all were trained from the start.
   */
  readonly groups: readonly number[]
  /** The trainer's updates when this layout was made. */
  readonly updates: number
  busy = false
  #state: State | undefined
  #backend: Backend | undefined
  readonly #byParameter = new Map<Parameter, ParameterSlots>()
  readonly #seen = new Map<Parameter, number>()
  readonly #dirty = new Set<Parameter>()
  #held = false
  /** Whether parameters are being brought into the block: JavaScript's arrays are what they are. */
  #bringing = false
  /** Whether this is the home of all its parameters. */
  #complete = false
  /** Being taken: they come before any change of the block. */
  readonly #snapshots = new Set<Snapshot>()

  /** @param accumulates whether gradients are added up from run to run */
  constructor(
    model: Module,
    optimizer: Optimizer,
    readonly accumulates: boolean,
    { updates, made: madeOf, before }: Memory = { updates: 0, made: () => 0 },
  ) {
    this.updates = updates
    const groups: number[] = []
    this.parameters = model.namedState().map(([name, parameter]) => {
      const slot = this.layout.add(name, parameter.shape, parameter.dtype)
      const trained = !parameter.frozen
      const made = madeOf(name, parameter)
      const behind = optimizer.steady ? 0 : updates - made
      if (trained && !groups.includes(behind)) groups.push(behind)
      const kept = trained || made > 0
      const own = kept ? optimizer.slots(parameter).map((s) => this.layout.add(`${name}.${s.name}`, s.shape, s.dtype)) : []
      return {
        name,
        parameter,
        slot,
        trained,
        optimizer: own,
        gradient: trained && accumulates ? this.layout.add(`${name}.gradient`, parameter.shape, parameter.dtype, true) : -1,
        made,
        group: trained ? groups.indexOf(behind) : 0,
      }
    })
    this.groups = groups.length > 0 ? groups : [0]
    for (const entry of this.parameters) this.#byParameter.set(entry.parameter, entry)
    if (before) this.#inherit(before)
  }

  #inherit(before: TrainingState): void {
    const from = before.#state
    if (!from) return
    const state = this.#current()
    for (const { parameter, optimizer } of this.parameters) {
      const old = before.#byParameter.get(parameter)?.optimizer ?? []
      if (old.length !== optimizer.length) continue
      optimizer.forEach((slot, i) => {
        const { offset, shape, dtype } = this.layout.slots[slot] as StateSlot
        const values = allocate(dtype, sizeOf(shape))
        from.read((before.layout.slots[old[i] as number] as StateSlot).offset, values)
        state.write(offset, values)
      })
    }
  }

  /** What a layout that follows takes over, at so many updates of the trainer. */
  memory(updates: number): Memory {
    const made = (_: string, parameter: Parameter) => {
      const entry = this.#byParameter.get(parameter)
      return entry ? this.#madeOf(entry, updates) : 0
    }
    return { updates, made, before: this }
  }

  #madeOf({ made, trained }: ParameterSlots, updates: number): number {
    return trained ? made + updates - this.updates : made
  }

  /** How many of the trainer's updates moved each parameter, by name, where that is neither all of a trained one's nor none of a frozen one's. */
  lagging(updates: number): Record<string, number> {
    const counts = this.parameters.map((entry) => ({ ...entry, now: this.#madeOf(entry, updates) }))
    return Object.fromEntries(counts.filter(({ trained, now }) => now !== (trained ? updates : 0)).map(({ name, now }) => [name, now]))
  }

  /** Gives the parameters back, with their newest values, and frees the block. */
  release(): void {
    this.#finishSnapshots()
    for (const { parameter } of this.parameters) if (parameter.home === this) parameter.moveTo(undefined)
    this.#state?.release()
    this.#state = undefined
  }

  /** Errors: ERR_BUSY during a fit. */
  refuseWhileBusy(where = 'fit'): void {
    if (this.busy) throw new WengertError('ERR_BUSY', `${where}: a running fit trains this model; await the fit, or abort it first`)
  }

  /** A block of its own with the parameters as they may be seen now: the parameters stay where they are. */
  copy(): State {
    const state = engine().createState(this.layout.bytes, this.layout.floats())
    for (const { parameter } of this.parameters) state.write(this.#offset(parameter), parameter.peek())
    return state
  }

  /** Whether this layout still fits the model: the same parameters, frozen alike. */
  fits(model: Module): boolean {
    const now = model.namedState().map(([, value]) => value)
    return (
      now.length === this.parameters.length &&
      this.parameters.every(({ parameter, trained }, i) => parameter === now[i] && trained === !parameter.frozen)
    )
  }

  /** Whether the block claimed last may be worked on as it is: nothing was assigned or taken away since, and no fit runs. */
  get #upToDate(): boolean {
    const settled = this.#complete && !this.busy && this.#dirty.size === 0 && this.#snapshots.size === 0
    return settled && this.#state !== undefined && this.#backend === engine()
  }

  left(): void {
    this.#complete = false
  }

  /** Errors: ERR_BUSY where another's fit trains a parameter. */
  refuseForeign(where = 'fit'): void {
    for (const { parameter } of this.parameters) if (parameter.home !== this) parameter.refuseWhileBusy(where)
  }

  /** Takes the parameters from whoever holds them and brings the block up to date. Errors: ERR_BUSY. */
  claim(where = 'fit'): State {
    const state = this.take(where)
    if (this.#dirty.size > 0) {
      for (const { offset, values } of this.#newer()) state.write(offset, values)
      this.#brought(state)
    }
    return state
  }

  /** As `claim`, but what is newer in JavaScript's arrays is left to `bring`, before which no program runs on the block. */
  take(where = 'fit'): State {
    if (this.#upToDate) return this.#state as State
    this.refuseWhileBusy(where)
    this.refuseForeign(where)
    this.#finishSnapshots()
    const state = this.#current()
    for (const { parameter } of this.parameters) {
      if (parameter.home === this) continue
      parameter.moveTo(this)
      this.#seen.set(parameter, state.version)
      this.#dirty.add(parameter)
    }
    this.#complete = true
    return state
  }

  /**
   * Brings what is newer in JavaScript's arrays into the block, in slices between which the event loop turns: during a fit, before
   * its first block. Nothing where that is little.
   */
  bring(): Promise<void> | undefined {
    const state = this.#claimed
    const copied = inTurn(this.#newer(), (group) => {
      for (const { offset, values } of group) state.write(offset, values)
    })
    if (copied) return this.#until(copied, state)
    this.#brought(state)
    return undefined
  }

  async #until(copied: Promise<void>, state: State): Promise<void> {
    this.#bringing = true
    try {
      await copied
      this.#brought(state)
    } finally {
      this.#bringing = false
    }
  }

  /** What JavaScript's arrays hold that the block does not. */
  #newer(): Piece[] {
    return Array.from(this.#dirty, (parameter) => ({ offset: this.#offset(parameter), values: parameter.array }))
  }

  /** The arrays already hold the new version. */
  #brought(state: State): void {
    for (const parameter of this.#dirty) this.#seen.set(parameter, state.version)
    this.#dirty.clear()
  }

  /** The block, moved over when the engine was changed. */
  #current(): State {
    const backend = engine()
    if (this.#state && this.#backend === backend) return this.#state
    const before = this.#state
    for (const { parameter } of this.parameters) if (parameter.home === this) parameter.peek()
    const state = backend.createState(this.layout.bytes, this.layout.floats())
    if (before) {
      for (const { offset, shape, dtype } of this.layout.slots) {
        const values = allocate(dtype, sizeOf(shape))
        before.read(offset, values)
        state.write(offset, values)
      }
    }
    this.#state = state
    this.#backend = backend
    for (const { parameter } of this.parameters) this.#seen.set(parameter, state.version)
    return state
  }

  /** The block as it was last claimed: during a fit the engine may be chosen anew, for what starts later. */
  get #claimed(): State {
    return this.#state ?? this.claim()
  }

  /**
   * Everything that is trained, remembered or counted, by name, as copies. The trainer's own fit may be under way, between two
   * blocks.
   *
   * @param into what an earlier call gave, whose memory is used again
   */
  slots(into?: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
    const state = this.#claimed
    const { tensors, pieces } = this.#copies(into)
    readPieces(state, pieces)
    return tensors
  }

  /** As `slots`, in slices between which the event loop turns where that is much. Only while no program runs on the block. */
  slotsInTurn(into?: Readonly<Record<string, Tensor>>): Record<string, Tensor> | Promise<Record<string, Tensor>> {
    const state = this.#claimed
    const { tensors, pieces } = this.#copies(into)
    const copied = inTurn(pieces, (group) => readPieces(state, group))
    return copied ? copied.then(() => tensors) : tensors
  }

  /**
   * As `slots`, as they are now, with a promise for when all are there: they are copied in slices, and what would change the block
   * meanwhile copies the rest first. Errors: ERR_BUSY.
   */
  snapshot(where: string): { tensors: Record<string, Tensor>; done: Promise<void> } {
    const state = this.claim(where)
    const { tensors, pieces } = this.#copies(undefined)
    const snapshot = new Snapshot(tensors, state, pieces)
    this.#snapshots.add(snapshot)
    return { tensors, done: snapshot.inTurn().finally(() => this.#snapshots.delete(snapshot)) }
  }

  #finishSnapshots(): void {
    for (const snapshot of this.#snapshots) snapshot.finish()
    this.#snapshots.clear()
  }

  /** What is trained, remembered or counted, as arrays to be filled. */
  #copies(into: Readonly<Record<string, Tensor>> | undefined): { tensors: Record<string, Tensor>; pieces: Piece[] } {
    const tensors: Record<string, Tensor> = {}
    const pieces = this.#lasting().map(({ name, shape, dtype, offset }) => {
      const tensor = into?.[name] ?? new Tensor(shape, dtype, allocate(dtype, sizeOf(shape)))
      tensors[name] = tensor
      return { offset, values: tensor.data }
    })
    return { tensors, pieces }
  }

  /** Writes what `slots` gave; names, shapes and types must be those of `expectedSlots`. */
  restore(slots: Readonly<Record<string, Tensor>>): void {
    const state = this.#claimed
    this.#held = false
    this.#finishSnapshots()
    for (const { name, offset } of this.#lasting()) state.write(offset, (slots[name] as Tensor).data)
  }

  /** What `restore` takes. */
  expectedSlots(): Record<string, { shape: Shape; dtype: Dtype }> {
    return Object.fromEntries(this.#lasting().map(({ name, shape, dtype }) => [name, { shape, dtype }]))
  }

  #lasting(): (StateSlot & { name: string })[] {
    const used = new Set<string>()
    return this.layout.slots
      .filter((slot) => !slot.transient)
      .map((slot) => {
        let { name } = slot
        while (used.has(name)) name += "'"
        used.add(name)
        return { ...slot, name }
      })
  }

  #offset(parameter: Parameter): number {
    const entry = this.#byParameter.get(parameter) as ParameterSlots
    return this.layout.slots[entry.slot]?.offset as number
  }

  pull(parameter: Parameter): void {
    const state = this.#state
    if (!state || this.#held) return
    // Between two fits nothing changes under a reader.
    if (!this.busy && !this.#bringing) {
      if (this.#seen.get(parameter) !== state.version)
        this.#seen.set(parameter, state.readAll([this.#offset(parameter)], [parameter.array]))
      return
    }
    const all = this.busy ? this.parameters.flatMap(({ parameter: p }) => (p.home === this ? [p] : [])) : [parameter]
    // What is still to be brought into the block is newer than it.
    const wanted = this.#bringing ? all.filter((p) => !this.#dirty.has(p)) : all
    if (this.busy) this.#hold()
    if (wanted.every((p) => this.#seen.get(p) === state.version)) return
    const version = state.readAll(
      wanted.map((p) => this.#offset(p)),
      wanted.map(({ array }) => array),
    )
    for (const p of wanted) this.#seen.set(p, version)
  }

  /** What is read until the running piece of JavaScript ends is of one epoch: a training thread publishes others meanwhile. */
  #hold(): void {
    if (!this.#backend?.offThread) return
    this.#held = true
    queueMicrotask(() => {
      this.#held = false
    })
  }

  touched(parameter: Parameter): void {
    if (this.busy) return
    this.#dirty.add(parameter)
    // What was assigned is newer than the block: a read must not bring the block's values over it.
    if (this.#state) this.#seen.set(parameter, this.#state.version)
  }
}
