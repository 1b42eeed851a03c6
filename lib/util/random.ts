/**
 * Counter-based randomness: Philox 4×32 with 10 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
 * as 1, 2, 3", 2011). A draw is a pure function of (key, counter), so any part of a stream can be made anywhere, in any
 * order, by either engine. The native engine holds the same three functions, proven by the same golden vectors:
 *
 *   word i of stream (seed, purpose, a, b) = philox(key = [seedLow, seedHigh], counter = [i >> 2, a, b, purpose])[i & 3]
 *   bounded(n): Lemire's multiply-shift with rejection, consuming words in order
 *   permutation(n): Fisher–Yates from i = n − 1 down to 1, j = bounded(i + 1), swap
 */

/** What a stream of numbers is for; part of the counter, so that streams never overlap. */
export const purposes = { user: 0, order: 1, dropout: 2, init: 3, split: 4, directions: 5 } as const

/** Identifies one stream: a 53-bit seed, a purpose, and two free coordinates such as epoch and update. */
export interface StreamKey {
  seed: number
  purpose: number
  a: number
  b: number
}

const M0 = 0xd2511f53
const M1 = 0xcd9e8d57
const W0 = 0x9e3779b9
const W1 = 0xbb67ae85

/** The high 32 bits of a 32 × 32 bit product. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const low = aLow * bLow
  const mid = aHigh * bLow + (low >>> 16)
  const mid2 = aLow * bHigh + (mid & 0xffff)
  return (aHigh * bHigh + Math.floor(mid / 65536) + (mid2 >>> 16)) >>> 0
}

/** Ten rounds of Philox 4×32 on `counter` under `key`; writes four words to `out`. */
export function philox(out: Uint32Array, c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): void {
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(M0, c0 >>> 0)
    const low0 = Math.imul(M0, c0)
    const high1 = mulHigh(M1, c2 >>> 0)
    const low1 = Math.imul(M1, c2)
    c0 = high1 ^ c1 ^ k0
    c1 = low1
    c2 = high0 ^ c3 ^ k1
    c3 = low0
    k0 = (k0 + W0) | 0
    k1 = (k1 + W1) | 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

/** A sequential reader of one stream. */
export class Stream {
  readonly #words = new Uint32Array(4)
  readonly #k0: number
  readonly #k1: number
  #position = 0

  constructor(readonly key: StreamKey) {
    this.#k0 = key.seed >>> 0
    this.#k1 = Math.floor(key.seed / 4294967296) >>> 0
  }

  /** The next 32-bit word. */
  word(): number {
    const lane = this.#position & 3
    if (lane === 0) philox(this.#words, this.#position / 4, this.key.a, this.key.b, this.key.purpose, this.#k0, this.#k1)
    this.#position++
    return this.#words[lane] as number
  }

  /** Uniform in [0, 1) with 53 random bits: (27 high bits, 26 low bits) of two words. */
  uniform(): number {
    const high = this.word() >>> 5
    const low = this.word() >>> 6
    return (high * 67108864 + low) / 9007199254740992
  }

  /** A standard normal variate (Box–Muller, the cosine branch; two uniforms each). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
    return radius * Math.cos(2 * Math.PI * this.uniform())
  }

  /** An unbiased integer in 0 … n − 1, 1 ≤ n ≤ 2³² − 1. */
  bounded(n: number): number {
    let word = this.word()
    let low = Math.imul(word, n) >>> 0
    if (low < n) {
      const threshold = (4294967296 - n) % n
      while (low < threshold) {
        word = this.word()
        low = Math.imul(word, n) >>> 0
      }
    }
    return mulHigh(word, n)
  }
}

/** Fills `out` with a permutation of 0 … out.length − 1 drawn from the stream `key`. */
export function permutation(out: Int32Array, key: StreamKey): void {
  const stream = new Stream(key)
  for (let i = 0; i < out.length; i++) out[i] = i
  for (let i = out.length - 1; i > 0; i--) {
    const j = stream.bounded(i + 1)
    const kept = out[i] as number
    out[i] = out[j] as number
    out[j] = kept
  }
}
