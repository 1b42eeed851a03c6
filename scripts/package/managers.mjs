/**
 * The package installed by other package managers than npm, each into an empty project, and by npm with scripts allowed. There
 * is none to run, so that must make no difference. To add one: a line in `managers`.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { bunFor } from './runtimes.mjs'
import { bareEnvironment, emptyProject, npm, npmProgram, run } from './stage.mjs'

/** By name: the package on npm that brings the program, the program in it, and its arguments before the package. `fetchesAll`:
 * it downloads optional dependencies of every platform, and installs those that fit. */
export const managers = [
  { name: 'npm, scripts allowed', args: ['install', '--no-audit', '--no-fund'] },
  { name: 'pnpm', npm: 'pnpm@latest', program: ['pnpm/bin/pnpm.cjs', 'pnpm/bin/pnpm.mjs'], args: ['add'] },
  { name: 'Yarn 1', npm: 'yarn@1', program: ['yarn/bin/yarn.js'], args: ['add', '--no-progress', '--non-interactive'], fetchesAll: true },
  { name: 'Yarn 4', npm: '@yarnpkg/cli-dist@latest', program: ['@yarnpkg/cli-dist/bin/yarn.js'], args: ['add'] },
  { name: 'Bun', ...bunFor(process.platform, process.arch), args: ['add'] },
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

/** Installs the package from the registry into an empty project, with node and what the system brings alone on PATH; gives the project. */
export function installBy({ name, args }, program, folder, registry) {
  const project = emptyProject(folder, `by-${name.replaceAll(/\W+/g, '-')}`)
  writeFileSync(join(project, '.npmrc'), `registry=${registry}\n`) // some do not ask the environment
  const bare = bareEnvironment(folder)
  // Stores and caches go with the folder.
  const env = {
    ...bare,
    // Yarn and pnpm look for a shell and the like.
    PATH: [bare.PATH, '/usr/bin', '/bin'].join(delimiter),
    npm_config_registry: registry,
    YARN_REGISTRY: registry,
    YARN_NPM_REGISTRY_SERVER: registry.replace(/\/$/, ''),
    YARN_UNSAFE_HTTP_WHITELIST: '127.0.0.1',
    npm_config_store_dir: join(folder, 'store'),
    npm_config_cache: join(folder, 'npm-cache-of-managers'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    XDG_DATA_HOME: join(folder, 'data'),
    YARN_CACHE_FOLDER: join(folder, 'yarn'),
    YARN_NODE_LINKER: 'node-modules',
    YARN_ENABLE_TELEMETRY: '0',
    YARN_ENABLE_IMMUTABLE_INSTALLS: '0',
    YARN_ENABLE_GLOBAL_CACHE: '0',
    BUN_INSTALL_CACHE_DIR: join(folder, 'bun'),
    CI: '1',
  }
  const script = program === undefined ? npmProgram() : program
  const command = /\.[cm]?js$/.test(script) ? [process.execPath, script] : [script]
  run(command[0], [...command.slice(1), ...args, 'wengert'], { cwd: project, env })
  return project
}
