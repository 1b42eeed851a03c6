/** Atomic writes: the old file or the new one, whole, at every stage; nothing left over. */

import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
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

describe.skipIf(process.platform === 'win32')('a file that is there already', () => {
  const rights = (target: string) => (statSync(target).mode & 0o777).toString(8)

  test.each(['600', '640', '664', '444'])('keeps its rights %s, and nobody else sees the new one before', async (mode) => {
    const target = path(`rights-${mode}`)
    writeFileSync(target, 'old')
    chmodSync(target, Number.parseInt(mode, 8))
    await writeAtomic(target, [bytes('new')], {
      at: (stage) => {
        const beside = readdirSync(dirname(target)).find((name) => name.startsWith(`.rights-${mode}.`))
        if (stage !== 'renamed') expect(rights(path(beside as string))).toBe(mode)
      },
    })
    expect([rights(target), readFileSync(target, 'utf8')]).toEqual([mode, 'new'])
  })

  test('is found through links, which stay', async () => {
    mkdirSync(path('there'))
    writeFileSync(path('there/file'), 'old')
    symlinkSync('there/file', path('link'))
    symlinkSync('link', path('chain'))
    symlinkSync('there/fresh', path('dangling'))
    await writeAtomic(path('chain'), [bytes('new')])
    await writeAtomic(path('dangling'), [bytes('first')])
    expect([readlinkSync(path('chain')), readlinkSync(path('link')), readlinkSync(path('dangling'))]).toEqual([
      'link',
      'there/file',
      'there/fresh',
    ])
    expect([readFileSync(path('there/file'), 'utf8'), readFileSync(path('there/fresh'), 'utf8')]).toEqual(['new', 'first'])
    expect(lstatSync(path('there/file')).isFile()).toBe(true)
    expect(readdirSync(path('there'))).toEqual(['file', 'fresh'].sort())
  })

  test('is refused where it is a folder, a pipe or a circle of links', async () => {
    execFileSync('mkfifo', [path('pipe')])
    mkdirSync(path('folder'))
    symlinkSync('circle', path('circle'))
    for (const name of ['pipe', 'folder', 'circle']) {
      expect(await failureOf(writeAtomic(path(name), [bytes('new')]))).toMatchObject({ code: 'ERR_FILE' })
    }
    expect(lstatSync(path('pipe')).isFIFO()).toBe(true)
  })
})

test('a name as long as names may be', async () => {
  const target = path('n'.repeat(255))
  await writeAtomic(target, [bytes('new')])
  expect(readFileSync(target, 'utf8')).toBe('new')
})

test('what killed writes left is removed, what others are writing is not', async () => {
  const ours = (target: string) => readdirSync(dirname(target)).filter((name) => name.startsWith('.left.'))
  mkdirSync(path('left'))
  const target = join(path('left'), 'left')
  // A process that is killed while it writes.
  const library = new URL('../../dist/lib/io/atomic.js', import.meta.url).href
  const killed = spawnSync(process.execPath, [
    '--input-type=module',
    '-e',
    `const { writeAtomic } = await import(${JSON.stringify(library)})
     await writeAtomic(${JSON.stringify(target)}, [Buffer.from('half')], { at: (stage) => { if (stage === 'written') process.kill(process.pid, 'SIGKILL') } })`,
  ])
  expect(killed.signal).toBe('SIGKILL')
  const [dead] = ours(target) as [string]
  expect(dead).toMatch(/\.tmp$/)
  const name = (pid: number, unique: string, host = (dead.match(/^\.left\.([a-z0-9]+)-/) as RegExpMatchArray)[1]) =>
    `.left.${host}-${pid}.${unique}.tmp`
  const living = name(process.ppid, 'a')
  const elsewhere = name(1, 'b', 'other')
  const old = name(1, 'c', 'other')
  const before = name(process.pid, 'd')
  for (const file of [living, elsewhere, old, before, '.left.notes.tmp', '.left.tmp']) writeFileSync(join(path('left'), file), '')
  utimesSync(join(path('left'), old), 0, Date.now() / 1000 - 2 * 86_400)
  utimesSync(join(path('left'), before), 0, Date.now() / 1000 - process.uptime() - 60)
  await writeAtomic(target, [bytes('whole')])
  expect(ours(target).sort()).toEqual([living, elsewhere, '.left.notes.tmp', '.left.tmp'].sort())
  expect(readFileSync(target, 'utf8')).toBe('whole')
})
