/**
 * The package as users get it, on this Node alone: packed, installed into an empty folder, imported, required, type-checked,
 * without its binary, and examined by its doctor. `npm run test:package` does the same on every runtime.
 */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test('the packed library installs and works', { timeout: 300_000 }, () => {
  const script = fileURLToPath(new URL('../scripts/test-package.mjs', import.meta.url))
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--quick', '--json'], { encoding: 'utf8' })
  expect(`${status}\n${stdout}${stderr}`).toMatch(/^0\n/)
  const { failed, checks } = JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as {
    failed: number
    checks: Record<string, unknown>
  }
  expect(failed).toBe(0)
  const major = `Node ${process.versions.node}`
  for (const name of ['contents', 'install', `${major}, import`, `${major}, require`, 'types', 'fallback'])
    expect(checks, name).toHaveProperty([name])
})
