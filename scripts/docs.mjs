/**
 * Makes what is generated of the documents: docs/troubleshooting.md, and the API reference in dist/reference, by the typedoc of
 * scripts/reference (a folder of its own, because typedoc wants an older compiler than the library's). Fails on an export
 * without a docstring and on a link that leads nowhere.
 */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const reference = join(root, 'scripts', 'reference')

function run(command, args, cwd) {
  const { status } = spawnSync(command, args, { cwd, stdio: 'inherit', shell: process.platform === 'win32' && command === 'npm' })
  if (status !== 0) process.exit(status ?? 1)
}

run(process.execPath, [join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.json'], root)
run(process.execPath, [join('scripts', 'troubleshooting.mjs')], root)
run('npm', ['ci', '--no-audit', '--no-fund'], reference)
run(process.execPath, [join('node_modules', 'typedoc', 'bin', 'typedoc')], reference)
