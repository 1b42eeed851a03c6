/**
 * Binaries that do not load: each is passed over for the next, and what happened is kept. The broken ones are made from the
 * good one by changing bytes, in a folder that stands for the package's.
 */

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { ownPlatform, packageFor } from '../../lib/native/platforms.js'
import { onNative, unless } from './native.js'

const linux = process.platform === 'linux'
const why = unless(linux, 'the binaries are changed as those of Linux are built')

/** The bytes with a string, between zeros, changed everywhere in its last letter. */
function renamed(bytes: Buffer, name: string): Buffer {
  const copy = Buffer.from(bytes)
  let found = 0
  for (let at = copy.indexOf(`\0${name}\0`); at >= 0; at = copy.indexOf(`\0${name}\0`, at + 1), found++)
    copy.write('X', at + name.length, 'latin1')
  expect(found, name).toBeGreaterThan(0)
  return copy
}

/** Where the last segment that is loaded ends; what comes after it (names, lines for debuggers) may be missing. */
function reach(bytes: Buffer): number {
  const [start, size, count] = [Number(bytes.readBigUInt64LE(32)), bytes.readUInt16LE(54), bytes.readUInt16LE(56)]
  const headers = Array.from({ length: count }, (_, i) => start + i * size)
  const loaded = headers.filter((at) => bytes.readUInt32LE(at) === 1)
  return Math.max(...loaded.map((at) => Number(bytes.readBigUInt64LE(at + 8) + bytes.readBigUInt64LE(at + 32))))
}

onNative('finding a binary', ({ file }) => {
  const folders: string[] = []
  afterAll(() => {
    // Windows removes no library that a process has loaded.
    if (process.platform !== 'win32') for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  })
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
    vi.resetModules()
  })

  /** A folder with a build of this machine, and prebuilds; the loader looks there and nowhere else. */
  function place(build: Buffer | string | undefined, prebuilds: Record<string, Buffer | string> = {}): string {
    const folder = mkdtempSync(join(tmpdir(), 'wengert-load-'))
    folders.push(folder)
    const put = (name: string, content: Buffer | string) => {
      mkdirSync(join(folder, name, '..'), { recursive: true })
      if (content === 'good') copyFileSync(file, join(folder, name))
      else writeFileSync(join(folder, name), content)
    }
    if (build !== undefined) put('build/Release/wengert.node', build)
    for (const [name, content] of Object.entries(prebuilds)) put(`prebuilds/${process.platform}-${process.arch}/${name}`, content)
    vi.stubEnv('WENGERT_ADDON', undefined)
    vi.stubEnv('WENGERT_BACKEND', undefined)
    vi.stubEnv('LIBC', undefined)
    vi.stubEnv('WENGERT_PREBUILD', folder)
    vi.resetModules()
    return folder
  }

  /** What the engine is now, what was tried, and the warnings, through fresh modules. */
  async function outcome(folder: string) {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const { backend } = await import('../../lib/backend/select.js')
    const { addonAttempts } = await import('../../lib/native/load.js')
    const { name, reason } = backend()
    backend()
    const tried = addonAttempts().map(({ tried, outcome }) => [
      tried
        .replace(folder, '')
        .replaceAll('\\', '/')
        .replace(/^\/(build|prebuilds).*\//, '$1/'),
      outcome,
    ])
    return { name, reason, tried, warnings: warn.mock.calls.length }
  }

  const good = readFileSync(file)
  const own =
    linux && !(process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime ? 'musl' : 'glibc'
  const missing = ['package', expect.stringMatching(/^@wengert\/[\w-]+ is not installed$/)]
  const machine = Buffer.from(good)
  machine.writeUInt16LE(process.arch === 'x64' ? 183 : 62, 18)
  const broken: [what: string, content: () => Buffer | string, says: RegExp][] = [
    ['is empty', () => '', /cut short: 0 bytes/],
    ['is a text', () => 'a page that says that the file is not there\n'.repeat(10), /no ELF file/],
    ['ends in its header', () => good.subarray(0, 40), /cut short: 40 bytes/],
    ['ends after its header', () => good.subarray(0, 3000), /cut short: 3000 bytes of \d+ or more/],
    ['is half there', () => good.subarray(0, good.length >> 1), /cut short/],
    ['lacks its last byte', () => good.subarray(0, reach(good) - 1), /cut short/],
    ['is for another processor', () => machine, /built for (arm64|x64), this is/],
    [
      'needs what Node does not have',
      () => renamed(good, 'napi_create_function'),
      /undefined symbol: napi_create_functioX|symbol not found/,
    ],
    [
      'is no addon',
      () => renamed(good, 'napi_register_module_v1'),
      /did not self-register|it is not the addon of this package|not found in native module/,
    ],
    ['lacks a function', () => renamed(good, 'abandonAll'), /it was built from other sources and lacks abandonAll; build it again/],
    ['is of another version', () => renamed(good, 'accumulate'), /it was built from other sources and lacks accumulate/],
  ]

  for (const [what, content, says] of broken) {
    test.skipIf(!linux)(`a build that ${what} gives way to the prebuilt one${why}`, async () => {
      const folder = place(content(), { [`wengert.${own}.node`]: 'good' })
      expect(await outcome(folder)).toEqual({
        name: 'native',
        reason: undefined,
        tried: [
          ['build/wengert.node', expect.stringMatching(says)],
          [`prebuilds/wengert.${own}.node`, 'loaded'],
        ],
        warnings: 0,
      })
    })
  }

  test.skipIf(!linux)(`where none loads, the JavaScript engine says why of each, and warns once${why}`, async () => {
    const folder = place(good.subarray(0, 5000), { [`wengert.${own}.node`]: 'nonsense', 'wengert.node': machine })
    const { name, reason, tried, warnings } = await outcome(folder)
    expect({ name, warnings }).toEqual({ name: 'js', warnings: 1 })
    expect(tried.map(([path]) => path).sort()).toEqual(
      ['build/wengert.node', 'package', 'prebuilds/wengert.node', `prebuilds/wengert.${own}.node`].sort(),
    )
    expect(reason).toMatch(/cut short: 5000 bytes/)
    expect(reason).toMatch(/cut short: 8 bytes/)
    expect(reason).toMatch(/built for/)
  })

  test('a good build is the only one tried; a binary of another C library is none of ours', async () => {
    const folder = place('good', { 'wengert.node': 'nonsense' })
    expect((await outcome(folder)).tried).toEqual([['build/wengert.node', 'loaded']])
    vi.resetModules()
    const other = place(undefined, { [`wengert.${own === 'musl' ? 'glibc' : 'musl'}.node`]: 'good' })
    if (linux) expect((await outcome(other)).tried).toEqual([missing])
  })

  test('an empty folder', async () => {
    const folder = place(undefined)
    const { name, tried } = await outcome(folder)
    expect({ name, tried }).toEqual({ name: 'js', tried: [missing] })
  })

  describe('in the package of this platform', () => {
    const mine = packageFor(ownPlatform())
    const theirs = packageFor(ownPlatform() === 'darwin-arm64' ? 'win32-x64' : 'darwin-arm64')
    const otherLibc = packageFor(`linux-${process.arch}-${own === 'musl' ? 'glibc' : 'musl'}`)
    const manifest = (name: string, version = '1.0.0') => JSON.stringify({ name, version })

    /** A folder in which packages lie, as `node_modules` would have them beside version 1.0.0 of the library. */
    function beside(packages: Record<string, Buffer | string>, version = '1.0.0'): string {
      const folder = place(undefined)
      writeFileSync(join(folder, 'package.json'), manifest('wengert'))
      for (const [name, content] of Object.entries(packages)) {
        const at = join(folder, 'node_modules', name)
        mkdirSync(at, { recursive: true })
        writeFileSync(join(at, 'package.json'), manifest(name, version))
        if (content === 'good') copyFileSync(file, join(at, 'wengert.node'))
        else writeFileSync(join(at, 'wengert.node'), content)
      }
      return folder
    }

    test('it is found, beside that of another C library too', async () => {
      const folder = beside({ [mine]: 'good' })
      const found = { name: 'native', reason: undefined, tried: [[`/node_modules/${mine}/wengert.node`, 'loaded']], warnings: 0 }
      expect(await outcome(folder)).toEqual(found)
      vi.restoreAllMocks()
      const both = beside({ [mine]: 'good', [otherLibc]: 'nonsense' })
      if (linux) expect(await outcome(both)).toEqual(found)
    })

    test('one of another version is refused, with both versions', async () => {
      const { name, reason, warnings } = await outcome(beside({ [mine]: 'good' }, '1.0.1'))
      expect({ name, warnings }).toEqual({ name: 'js', warnings: 1 })
      expect(reason).toContain(`${mine} is of version 1.0.1, wengert is of 1.0.0`)
    })

    test('where it is missing, the remedy names the option, or the platform whose packages lie there', async () => {
      expect((await outcome(beside({}))).reason).toMatch(
        /is not installed\. Install with optional dependencies \(npm install --include=optional\)/,
      )
      vi.restoreAllMocks()
      const { reason, tried } = await outcome(beside({ [theirs]: 'good' }))
      expect(tried).toEqual([missing])
      expect(reason).toContain(`node_modules is of another platform: it holds ${theirs}`)
    })

    test('one that does not load is named, with what it takes', async () => {
      const { name, reason } = await outcome(beside({ [mine]: good.subarray(0, 3000) }))
      expect(name).toBe('js')
      expect(reason).toMatch(new RegExp(`${mine} is installed and does not load: remove node_modules and install again. It takes`))
    })
  })
})
