/**
 * The package installed by other package managers than npm, each into an empty project, and by npm with scripts allowed. There
 * is none to run, so that must make no difference. To add one: a line in `managers`.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { bareEnvironment, npm, npmProgram, run } from './stage.mjs'

/** By name: the package on npm that brings the program, the program in it, and its arguments before the tarball. */
export const managers = [
  { name: 'npm, scripts allowed', args: ['install', '--no-audit', '--no-fund', '--prefer-offline'] },
  { name: 'pnpm', npm: 'pnpm@latest', program: ['pnpm/bin/pnpm.cjs', 'pnpm/bin/pnpm.mjs'], args: ['add'] },
  { name: 'Yarn 1', npm: 'yarn@1', program: ['yarn/bin/yarn.js'], args: ['add', '--no-progress', '--non-interactive'] },
  {
    name: 'Bun',
    npm: `@oven/bun-${process.platform}-${process.arch}@latest`,
    program: [`@oven/bun-${process.platform}-${process.arch}/bin/bun`],
    args: ['add'],
  },
]

/** Fetches a program from npm, unless it is there, into a folder of its own. */
export function fetched(folder, name, programs, flags = []) {
  const place = join(folder, name.replaceAll(/[/@]/g, '_'))
  const paths = programs.map((program) => join(place, 'node_modules', program))
  if (!paths.some(existsSync)) {
    mkdirSync(place, { recursive: true })
    writeFileSync(join(place, 'package.json'), '{ "private": true }\n')
    npm(['install', '--ignore-scripts', ...flags, name], { cwd: place })
  }
  const path = paths.find(existsSync)
  if (!path) throw new Error(`${name}: expected ${programs.join(' or ')} in it, got neither`)
  return path
}

/** Installs the tarball into an empty project, with node and what the system brings alone on PATH, and gives the project. */
export function installBy({ name, args }, program, folder, tarball) {
  const project = join(folder, `by-${name.replaceAll(/\W+/g, '-')}`)
  mkdirSync(project, { recursive: true })
  writeFileSync(join(project, 'package.json'), '{ "name": "project", "version": "1.0.0", "private": true }\n')
  const bare = bareEnvironment(folder)
  // The registry that npm uses here; stores and caches go with the folder.
  const registry = npm(['config', 'get', 'registry']).stdout.trim()
  const env = {
    ...bare,
    // Yarn and pnpm look for a shell and the like.
    PATH: [bare.PATH, '/usr/bin', '/bin'].join(delimiter),
    npm_config_registry: registry,
    npm_config_store_dir: join(folder, 'store'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    XDG_DATA_HOME: join(folder, 'data'),
    YARN_CACHE_FOLDER: join(folder, 'yarn'),
    BUN_INSTALL_CACHE_DIR: join(folder, 'bun'),
    CI: '1',
  }
  const script = program === undefined ? npmProgram() : program
  const command = /\.[cm]?js$/.test(script) ? [process.execPath, script] : [script]
  run(command[0], [...command.slice(1), ...args, tarball], { cwd: project, env })
  return project
}
