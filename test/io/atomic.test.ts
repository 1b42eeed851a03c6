/** Atomic writes: the old file or the new one, whole, at every stage; nothing left over. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { type WriteStage, writeAtomic } from '../../lib/io/atomic.js'
import { failureOf, folder } from './helpers.js'

const path = folder()
const bytes = (s: string) => new Uint8Array(Buffer.from(s))

test('the file changes at the rename and not before', async () => {
  const target = path('stages')
  writeFileSync(target, 'old')
  const seen: [WriteStage, string][] = []
  await writeAtomic(target, [bytes('n'), bytes('ew')], {
    at: (stage) => {
      seen.push([stage, readFileSync(target, 'utf8')])
    },
  })
  expect(seen).toEqual([
    ['opened', 'old'],
    ['written', 'old'],
    ['flushed', 'old'],
    ['renamed', 'new'],
  ])
})

test.each<WriteStage>(['opened', 'written', 'flushed'])('a failure after %s leaves the old file and nothing beside it', async (stage) => {
  const target = path(`fails-${stage}`)
  writeFileSync(target, 'old')
  const before = readdirSync(dirname(target)).length
  const failure = await failureOf(
    writeAtomic(target, [bytes('new')], {
      at: (now) => {
        if (now === stage) throw new Error('disk full')
      },
    }),
  )
  expect(failure).toMatchObject({ code: 'ERR_FILE', message: expect.stringContaining('disk full') })
  expect(readFileSync(target, 'utf8')).toBe('old')
  expect(readdirSync(dirname(target)).length).toBe(before)
})

test('ten writers of one file leave one of their versions', async () => {
  const target = path('many')
  const versions = Array.from({ length: 10 }, (_, i) => `${i}`.repeat(10_000))
  await Promise.all(versions.map((text) => writeAtomic(target, [bytes(text)])))
  expect(versions).toContain(readFileSync(target, 'utf8'))
})

test('refuses paths that are none', async () => {
  expect((await failureOf(writeAtomic('', []))).code).toBe('ERR_VALUE')
  expect((await failureOf(writeAtomic('a\0b', []))).code).toBe('ERR_VALUE')
  expect((await failureOf(writeAtomic(path('no/folder'), []))).code).toBe('ERR_FILE')
})
