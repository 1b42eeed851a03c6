import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { binaries, ownPlatform, packageFor, platformOf, remedyOn } from '../../lib/native/platforms.js'

describe('platforms', () => {
  test('are named by platform, architecture and C library', () => {
    expect(platformOf({ platform: 'linux', arch: 'x64', glibc: '2.36' })).toBe('linux-x64-glibc')
    expect(platformOf({ platform: 'linux', arch: 'arm64', glibc: undefined })).toBe('linux-arm64-musl')
    expect(platformOf({ platform: 'win32', arch: 'x64', glibc: undefined })).toBe('win32-x64')
    expect(ownPlatform()).toContain(`${process.platform}-${process.arch}`)
  })

  test('each says what to do', () => {
    const alone = { clone: false, packages: [] }
    for (const name of Object.keys(binaries)) {
      expect(remedyOn(name, alone)).toContain(`${packageFor(name)}, which holds the binary for this platform, is not installed`)
      expect(remedyOn(name, { clone: true, packages: [] })).toMatch(/npm run build:native/)
    }
    expect(remedyOn('linux-x64-musl', { named: 'a.node', clone: true, packages: [] })).toBe(
      'WENGERT_ADDON names a.node, so nothing else was tried: name a binary for linux-x64-musl, or unset it.',
    )
    expect(packageFor('linux-x64-glibc')).toBe('@wengert/linux-x64')
    expect(remedyOn('win32-arm64', alone)).toMatch(/No release has a binary for win32-arm64.*Node for x64/)
    expect(remedyOn('freebsd-x64', alone)).toMatch(/No release has a binary for freebsd-x64\. To build one: npm start.*WENGERT_ADDON/)
  })

  test('the README lists those that a release has, with the systems that they take', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
    const systems = { glibc: /glibc [\d.]+/, musl: /Alpine/, x64: /(Windows|macOS) \d+/, arm64: /macOS \d+/ }
    for (const [name, { runs }] of Object.entries(binaries)) {
      const system = systems[name.split('-').at(-1) as keyof typeof systems].exec(runs)?.[0]
      expect(system, name).toBeDefined()
      expect(readme).toMatch(new RegExp(`^\\| ${name} \\| native, [^|]*${system}`, 'm'))
    }
  })

  test('are those that npm run binaries makes', async () => {
    const script = new URL('../../scripts/binaries/targets.mjs', import.meta.url)
    expect(existsSync(script)).toBe(true)
    const { targets } = (await import(script.href)) as { targets: Record<string, { folder: string; file: string }> }
    const made = Object.values(targets).map(({ folder, file }) => `${folder}${/(\.\w+)\.node$/.exec(file)?.[1]?.replace('.', '-') ?? ''}`)
    expect(made.sort()).toEqual(Object.keys(binaries).sort())
  })
})
