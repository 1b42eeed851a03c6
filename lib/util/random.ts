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
export const purposes = { user: 0, order: 1, dropout: 2, init: 3, split: 4, directions: 5, draw: 6, sweep: 7 } as const

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

/** ln x for x in (0, 1], as fdlibm computes it: unlike `Math.log`, the same bits in every runtime. */
function log(x: number): number {
  let k = 0
  while (x < Math.SQRT1_2) {
    x *= 2
    k--
  }
  const f = x - 1
  const hfsq = 0.5 * f * f
  const s = f / (2 + f)
  const z = s * s
  const w = z * z
  const even = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373))
  const odd = z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)))
  const r = even + odd
  return s * (hfsq + r) + k * 1.9082149292705877e-10 - hfsq + f + k * 0.6931471803691238
}

/** cos 2πu for u in [0, 1): the nearest quarter turn is taken off exactly, the rest is a polynomial of fdlibm's. */
function cosTurn(u: number): number {
  const t = 4 * u
  const q = Math.floor(t + 0.5)
  const x = (t - q) * (Math.PI / 2)
  const z = x * x
  if ((q & 1) === 0) {
    const r =
      z *
      (0.0416666666666666 +
        z *
          (-0.001388888888887411 +
            z * (2.480158728947673e-5 + z * (-2.7557314351390663e-7 + z * (2.087572321298175e-9 + z * -1.1359647557788195e-11)))))
    const hz = 0.5 * z
    const one = 1 - hz
    const c = one + (1 - one - hz + z * r)
    return (q & 3) === 0 ? c : -c
  }
  const r =
    0.00833333333332249 +
    z * (-0.0001984126982985795 + z * (2.7557313707070068e-6 + z * (-2.5050760253406863e-8 + z * 1.58969099521155e-10)))
  const s = x + z * x * (-0.16666666666666632 + z * r)
  return (q & 3) === 1 ? -s : s
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
    const radius = Math.sqrt(-2 * log(1 - this.uniform()))
    return radius * cosTurn(this.uniform())
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

/** What may be drawn, as the kernel of draws numbers it. */
export const drawKinds = ['uniform', 'normal', 'permutation'] as const
export type DrawKind = (typeof drawKinds)[number]

/** Fills `out` with draws from the stream `key`; uniform ones are in [low, high). */
export function fillDraws(out: { readonly length: number; [i: number]: number }, kind: DrawKind, key: StreamKey, low = 0, high = 1): void {
  if (kind === 'permutation') {
    permutation(out as Int32Array, key)
    return
  }
  const stream = new Stream(key)
  const n = out.length
  if (kind === 'normal') for (let i = 0; i < n; i++) out[i] = stream.normal()
  else for (let i = 0; i < n; i++) out[i] = low + (high - low) * stream.uniform()
}
