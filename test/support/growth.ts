/** How the time of a reader grows with what it reads: sizes apart by a factor of 16, so that a square is told from a line on any machine. */

import { expect } from 'vitest'
import { errorCodes } from '../../lib/errors.js'

const factor = 16
/** A line gives 16, a square 256; what caches, collectors and logarithms add lies far below. */
const most = 80
/** Shorter times are as good as this: they are mostly the clock's. */
const shortest = 2

/** Milliseconds of the processor for the fastest of three runs. A refusal with a code is an answer. */
async function cost<T>(input: T, read: (input: T) => unknown): Promise<number> {
  let fastest = Infinity
  for (let round = 0; round < 3; round++) {
    const before = process.cpuUsage()
    try {
      await read(input)
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === undefined || !(code in errorCodes)) throw error
    }
    const { user, system } = process.cpuUsage(before)
    fastest = Math.min(fastest, (user + system) / 1000)
  }
  return fastest
}

/** Asserts that reading an input of size 16n takes about 16 times what one of size n takes. */
export async function expectLinear<T>(n: number, make: (n: number) => T, read: (input: T) => unknown): Promise<void> {
  const small = await cost(make(n), read)
  const large = await cost(make(factor * n), read)
  expect(large / Math.max(small, shortest), `${small.toFixed(1)} ms for ${n}, ${large.toFixed(1)} ms for ${factor * n}`).toBeLessThan(most)
}
