/** The service of examples/online-server.ts: it answers, it learns, it refuses nonsense, and it goes on where it was stopped. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { serve } from '../../examples/online-server.js'
import { Random } from '../../lib/index.js'

const folder = await mkdtemp(join(tmpdir(), 'wengert-server-'))
afterAll(() => rm(folder, { recursive: true }))

const rng = new Random(1)
/** Ten classes, told apart by their means. */
const sample = (i: number) => ({
  features: Array.from(rng.normal([64]).data, (v, k) => v + (k % 10 === i % 10 ? 3 : 0)),
  label: i % 10,
})

const client = (port: number) => async (path: string, body?: unknown) => {
  const response = await fetch(
    `http://127.0.0.1:${port}${path}`,
    body === undefined ? {} : { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) },
  )
  return { status: response.status, value: (await response.json()) as Record<string, unknown> }
}

test('learns what is posted to it, and keeps it', async () => {
  const file = join(folder, 'state')
  const first = await serve(0, file)
  const ask = client(first.port)
  const before = (await ask('/predict', { features: sample(3).features })).value.probabilities as number[]
  expect(before).toHaveLength(10)
  expect(before.reduce((a, b) => a + b)).toBeCloseTo(1, 5)
  for (let i = 0; i < 300; i++) expect((await ask('/learn', sample(i))).status).toBe(200)
  let right = 0
  for (let i = 0; i < 50; i++) {
    const { features, label } = sample(i)
    if ((await ask('/predict', { features })).value.class === label) right++
  }
  expect(right).toBeGreaterThan(45)
  const probe = sample(4)
  const known = (await ask('/predict', probe)).value
  await first.close()
  const second = await serve(0, file)
  expect((await client(second.port)('/state')).value.updates).toBe(300)
  expect((await client(second.port)('/predict', probe)).value).toEqual(known)
  await second.close()
})

test('refuses nonsense and learns nothing from it', async () => {
  const server = await serve()
  const ask = client(server.port)
  for (const body of [
    '',
    '{',
    '3',
    '{"features":[1,2]}',
    { features: 'x' },
    { ...sample(1), label: 12 },
    { ...sample(1), label: 'a' },
    'x'.repeat(70_000),
  ]) {
    expect((await ask('/learn', body)).status, JSON.stringify(body).slice(0, 40)).toBe(400)
  }
  expect((await ask('/nowhere', {})).status).toBe(404)
  expect((await ask('/state')).value.updates).toBe(0)
  await server.close()
})

test('stands absurd requests: the model is what it was', async () => {
  const server = await serve()
  const ask = client(server.port)
  const features = (value: string) => `[${value}${',0'.repeat(63)}]`
  expect((await ask('/predict', `{"features":${features('1e999')}}`)).status).toBe(400)
  expect((await ask('/learn', `{"features":${features('-1e999')},"label":1}`)).status).toBe(400)
  for (let i = 0; i < 100; i++) await ask('/learn', sample(i))
  const probe = sample(4)
  const known = (await ask('/predict', probe)).value
  for (const value of ['1e38', '-3e38', '1e6']) {
    const { status, value: said } = await ask('/learn', `{"features":${features(value)},"label":1}`)
    expect(status).toBe(400)
    expect(said.error).toMatch(/feature 0 of sample 0 .* far outside/)
  }
  const start = performance.now()
  for (const body of [
    `{"features":"${'1'.repeat(60_000)}x"}`,
    `{"features":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
    `{"features":{"constructor":{"name":{"toString":1}}}}`,
  ])
    expect((await ask('/predict', body)).status).toBe(400)
  expect(performance.now() - start).toBeLessThan(5000)
  expect((await ask('/toString')).status).toBe(404)
  expect((await ask('/predict', probe)).value).toEqual(known)
  expect((await ask('/state')).value.updates).toBe(100)
  expect((await ask('/learn', sample(101))).status).toBe(200)
  await server.close()
})
