/** Values of one call lie beside each other: nothing is copied, before it or after. */

import { describe, expect, it } from 'vitest'
import { backend, setBackend } from '../../lib/backend/select.js'
import { compile, Random, type Tensor } from '../../lib/index.js'
import { allReduceAll } from '../../lib/primitives/collective.js'

const kernelsOf = (text: string) => [...text.matchAll(/^ *\d+ +([a-zA-Z]+)/gm)].map(([, kernel]) => kernel)

for (const name of ['js', ...(backend().name === 'native' ? ['native' as const] : [])] as const) {
  describe(`sums over processes on the ${name} engine`, () => {
    const rng = new Random(1)
    const [a, b, c] = [rng.normal([4, 6]), rng.normal([6, 3]), rng.normal([3])] as const
    const on = <T>(body: () => T): T => {
      const before = backend().name
      setBackend(name)
      try {
        return body()
      } finally {
        setBackend(before)
      }
    }

    it('inputs are made where their sums will be, and these are read there', () => {
      const f = (a: Tensor, b: Tensor, c: Tensor) => {
        const [p, q, r] = allReduceAll([a.matmul(b), c.mul(2), a.sum()]) as [Tensor, Tensor, Tensor]
        return [p.add(q), r.mul(q), p.mul(p)]
      }
      on(() => {
        const g = compile(f)
        expect(g(a, b, c).map((t) => t.toArray())).toEqual(f(a, b, c).map((t) => t.toArray()))
        expect(kernelsOf(g.describe(a, b, c)).sort()).toEqual(['allReduce', ...new Array(4).fill('elementwise'), 'matmul', 'sum'])
      })
    })

    it('what is read elsewhere too, given twice, or not made here is copied', () => {
      const f = (a: Tensor, b: Tensor, c: Tensor) => {
        const [d, e] = [c.mul(2), a.matmul(b)]
        const sums = allReduceAll([d, d, c, e, e.reshape([12])]) as [Tensor, Tensor, Tensor, Tensor, Tensor]
        return [...sums, sums[3].sub(e), sums[0].add(sums[2])]
      }
      on(() => {
        const g = compile(f)
        for (let i = 0; i < 2; i++) expect(g(a, b, c).map((t) => t.toArray())).toEqual(f(a, b, c).map((t) => t.toArray()))
      })
    })

    it('one sum into another', () => {
      const f = (a: Tensor, b: Tensor) => {
        const [p, q] = allReduceAll([a.matmul(b), b.mul(3)]) as [Tensor, Tensor]
        const [r, s, t] = allReduceAll([q, p, p.mul(2)]) as [Tensor, Tensor, Tensor]
        return [r, s, t, p.relu()]
      }
      on(() => {
        const g = compile(f)
        expect(g(a, b).map((t) => t.toArray())).toEqual(f(a, b).map((t) => t.toArray()))
      })
    })
  })
}
