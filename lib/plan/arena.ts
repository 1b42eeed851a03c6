/** First-fit allocation of byte ranges in one arena, at 64-byte boundaries. */

const align = (bytes: number): number => Math.max(64, Math.ceil(bytes / 64) * 64)

export class Arena {
  /** The size that the arena must have. */
  bytes = 0
  readonly #used: { offset: number; bytes: number }[] = []

  /** The offset of a free range of at least `bytes`. */
  take(bytes: number): number {
    const size = align(bytes)
    let offset = 0
    let at = 0
    for (; at < this.#used.length; at++) {
      const next = this.#used[at] as { offset: number; bytes: number }
      if (next.offset - offset >= size) break
      offset = next.offset + next.bytes
    }
    this.#used.splice(at, 0, { offset, bytes: size })
    this.bytes = Math.max(this.bytes, offset + size)
    return offset
  }

  release(offset: number): void {
    const at = this.#used.findIndex((range) => range.offset === offset)
    if (at >= 0) this.#used.splice(at, 1)
  }
}
