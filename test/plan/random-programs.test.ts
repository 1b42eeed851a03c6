/**
 * Programs made at random: what the passes (simplify, fuse, schedule, lower) make of a function, of its derivatives and of
 * theirs must compute what the function does eagerly, and both engines the same. `npm run test:random` runs as many as you like.
 */

import { expect, test } from 'vitest'
import type { Tensor } from '../../lib/tensor/tensor.js'
import { announce, present, using } from '../support/engines.js'
import { floats } from '../support/models.js'
import { type RandomProgram, randomProgram } from '../support/random-programs.js'
import { replay } from '../support/replay.js'
import { farthest } from '../support/tolerance.js'

announce('random programs')

const count = Number(process.env.WENGERT_RANDOM_COUNT ?? 1000)
const from = Number(process.env.WENGERT_RANDOM_FROM ?? 0)

const differ = (a: readonly Tensor[], b: readonly Tensor[], narrow: boolean): string => {
  for (const [i, y] of a.entries()) {
    const difference = farthest(y.data, b[i]?.data ?? [], narrow ? 2e-4 : 1e-9)
    if (difference) return `result ${i}: ${difference}`
  }
  return ''
}

/** Whether a rounding of the inputs alone changes the results as much: nothing can be said of such a point. */
function unsure(program: RandomProgram, results: readonly Tensor[]): boolean {
  const by = program.narrow ? 3e-7 : 1e-15
  return [-by, by].some((shift) => {
    const moved = program.inputs.map((x) => x.mul(1 + shift).add(shift))
    return differ(program.results(...moved), results, program.narrow) !== ''
  })
}

test.each(floats)(
  `${count} programs, compiled and eager, on ${present.join(' and ')}, %s`,
  { timeout: Math.max(240_000, 200 * count) },
  (dtype) => {
    const wrong: string[] = []
    let open = 0
    for (let number = from; number < from + count && wrong.length < 20; number++) {
      const program = randomProgram(number, dtype)
      try {
        const eager = present.map((engine) => using(engine, () => program.results(...program.inputs)))
        const compiled = present.map((engine, i) =>
          using(engine, () => replay(program.results, program.inputs, eager[i] as Tensor[], dtype)),
        )
        const findings = present.map((engine, i) => {
          const found = differ(compiled[i] as Tensor[], eager[i] as Tensor[], program.narrow)
          return found && `${engine}, compiled against eager: ${found}`
        })
        if (present.length > 1) {
          const found = differ(eager[1] as Tensor[], eager[0] as Tensor[], program.narrow)
          findings.push(found && `${present[1]} against ${present[0]}: ${found}`)
        }
        const found = findings.filter(Boolean)
        if (found.length === 0) continue
        if (unsure(program, eager[0] as Tensor[])) open++
        else wrong.push(`program ${number}: ${found.join('; ')}`)
      } catch (error) {
        wrong.push(`program ${number}: ${(error as Error).stack?.split('\n').slice(0, 4).join(' ')}`)
      }
      if (count > 5000 && number % 5000 === 4999) console.log(`${dtype}: ${number + 1 - from} programs`)
    }
    console.log(`${dtype}: ${count} programs, ${open} of them at points where a rounding decides`)
    expect(wrong).toEqual([])
    expect(open).toBeLessThan(Math.max(5, count / 10))
  },
)
