/** Numbers that come one by one, of a count that is not known: the least memory on the way, the smallest type at the end. */

/** The types that numbers grow in, the smaller first. */
export type Grown = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array
type GrownType = new (length: number) => Grown

const pieceLength = 1 << 15

/** About how many rows there will be in all, where that can be told. */
export type Expected = () => number | undefined

/**
 * A list that grows. Where the number of rows can be told, it gets room for all of them at once, which the system gives only as it is
 * used; otherwise it grows in pieces. Nothing is copied as it grows, but a beginning.
 */
class Growing {
  readonly #pieces: Grown[] = []
  protected last: Grown
  protected filled = 0
  /** The length of all pieces. */
  #before = 0
  #make: GrownType

  constructor(
    make: GrownType,
    readonly expected: Expected = () => undefined,
  ) {
    this.#make = make
    this.last = new make(64)
  }

  get length(): number {
    return this.#before + this.filled
  }

  get bytes(): number {
    return this.length * this.last.BYTES_PER_ELEMENT
  }

  /** The first piece doubles up to the length of the others: a column of few values costs little. */
  protected more(): void {
    const filled = this.filled
    const left = (this.expected() ?? 0) - this.length
    if (this.#before === 0 && (filled < pieceLength || (filled === pieceLength && left > 0))) {
      const larger = new this.#make(filled < pieceLength ? 2 * filled : filled + left)
      larger.set(this.last)
      this.last = larger
      return
    }
    const next = new this.#make(Math.max(pieceLength, left))
    this.#pieces.push(this.last)
    this.#before += filled
    this.last = next
    this.filled = 0
  }

  /** Goes over to a type that holds larger numbers, or fractions. */
  widen(make: GrownType): void {
    const widened = (piece: Grown) => {
      const wide = new make(piece.length)
      wide.set(piece)
      return wide
    }
    const last = new make(this.last.length)
    last.set(this.last.subarray(0, this.filled))
    for (let i = 0; i < this.#pieces.length; i++) this.#pieces[i] = widened(this.#pieces[i] as Grown)
    this.last = last
    this.#make = make
  }

  /** All of them; the pieces are given up. */
  finish(): Grown {
    const { length } = this
    const last = this.last.subarray(0, this.filled)
    // Room that was never used costs nothing, but not where there is much of it.
    if (this.#before === 0 && length > 0.8 * this.last.length) return last
    const out = new this.#make(length)
    let at = 0
    for (const piece of this.#pieces.splice(0)) {
      out.set(piece, at)
      at += piece.length
    }
    out.set(last, at)
    this.#before = 0
    this.filled = 0
    this.last = new this.#make(0)
    return out
  }
}

// Two classes with a `push` of their own: one that sees all types of lists would be slow for each.

/** Numbers that grow, as integers at first. */
export class GrowingNumbers extends Growing {
  push(value: number): void {
    if (this.filled === this.last.length) this.more()
    this.last[this.filled++] = value
  }
}

/** Places that grow. */
export class GrowingPlaces extends Growing {
  push(place: number): void {
    if (this.filled === this.last.length) this.more()
    this.last[this.filled++] = place
  }
}
