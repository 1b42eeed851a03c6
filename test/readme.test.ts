import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url))
const readme = readFileSync(path('README.md'), 'utf8')
const scripts = (JSON.parse(readFileSync(path('package.json'), 'utf8')) as { scripts: Record<string, string> }).scripts

const quickStart = /^## Quick start\n[\s\S]*?```js\n([\s\S]*?)```/m.exec(readme)?.[1] ?? ''

describe('README', () => {
  test('its quick start has at most 15 lines and runs as printed', () => {
    expect(quickStart).not.toBe('')
    expect(quickStart.trimEnd().split('\n').length).toBeLessThanOrEqual(15)
    expect(existsSync(path('dist/lib/index.js')), 'a compiled library in dist: run npm test, or node scripts/setup.mjs').toBe(true)
    // Within the package, so that its own name is found.
    const folder = path(`.cache/readme-${process.pid}`)
    const file = `${folder}/quick-start.mjs`
    mkdirSync(folder, { recursive: true })
    try {
      writeFileSync(file, quickStart)
      const { status, stdout, stderr } = spawnSync(process.execPath, ['--disable-warning=WENGERT_JS', file], {
        cwd: folder,
        encoding: 'utf8',
      })
      expect(stderr).toBe('')
      expect(status).toBe(0)
      const accuracy = Number(/validation: \{ cost: [\d.]+, accuracy: ([\d.]+) \}/.exec(stdout)?.[1])
      expect(accuracy).toBeGreaterThan(0.95)
      expect(stdout).toContain("left: 'yes'")
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('names only commands and files that exist', () => {
    for (const [, command] of readme.matchAll(/npm (?:run )?(start|test|bench|run [\w:]+)\b/g)) {
      expect(scripts).toHaveProperty((command as string).replace(/^run /, '').replaceAll('.', '\\.'))
    }
    const links = [...readme.matchAll(/\]\((?!https?:|#)([^)]+)\)/g)].map((match) => match[1] as string)
    expect(links.length).toBeGreaterThan(0)
    for (const link of links) expect(existsSync(path(link)), link).toBe(true)
  })

  test('the table of times holds every workload', () => {
    const figures = readFileSync(path('docs/performance.md'), 'utf8')
    const table = /<!-- times -->\n([\s\S]*?)<!-- \/times -->/.exec(figures)?.[1] ?? ''
    for (const network of ['2-2-1', '64-32-10', '784-128-10', '784-512-256-10']) expect(table).toContain(network)
  })
})
