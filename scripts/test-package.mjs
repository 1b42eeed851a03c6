/**
 * Checks the package as users get it: packs it and the packages of the platforms, installs it from a registry of this machine into
 * an empty folder with node alone on PATH, and there runs the README's quick start by import and by require, checks the types, the
 * fallback and the doctor, and measures.
 *
 *   npm run test:package                      this Node, Node 20, 22, 24 and 26, Bun, Deno, arm64 where qemu is at hand; then
 *                                             installed by npm with scripts allowed, by pnpm, Yarn and Bun
 *   npm run test:package -- --quick           this Node alone
 *   npm run test:package -- --json            ends with one line of JSON
 *
 * Runtimes come from npm and are kept in .cache/runtimes; one that cannot be had is reported as skipped, with the reason.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { commonJs, contents, costs, doctor, esm, fallback, later, types } from './package/checks.mjs'
import { addonScript, coresFor, forced, programOf } from './package/kernels.mjs'
import { fetched, installBy, managers } from './package/managers.mjs'
import { pack } from './package/pack.mjs'
import { startRegistry } from './package/registry.mjs'
import { runtimesFor } from './package/runtimes.mjs'
import { bareEnvironment, install, mostDownloadMB, root, run, sizeOf } from './package/stage.mjs'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    runs: { type: 'string', default: '21' },
  },
})
/** `importShare`: 30 ms where Node itself takes 40 to start. */
const limits = { downloadMB: mostDownloadMB(), unpackedMB: 8, importShare: 0.75, importMB: 10 }
const folder = mkdtempSync(join(tmpdir(), 'wengert-package-'))
const count = { passed: 0, failed: 0, skipped: 0 }
const report = { checks: {} }
let registry

function check(name, body) {
  try {
    const told = body()
    count.passed++
    report.checks[name] = told ?? true
    console.log(`✓ ${name}${told ? `: ${told}` : ''}`)
  } catch (error) {
    count.failed++
    report.checks[name] = false
    console.log(`✗ ${name}\n${error.message}`)
  }
}

function skip(name, reason) {
  count.skipped++
  console.log(`- ${name}: skipped: ${reason}`)
}

const { platform, arch } = process
const others = runtimesFor(platform, arch)

/** The path of a runtime's program, fetched if need be. */
const runtime = ({ npm: name, program }, flags) => fetched(join(root, '.cache', 'runtimes'), name, [program].flat(), flags)

function onRuntime(name, program, project, wanted) {
  const start = (file) => run(program[0], [...program.slice(1), file], { cwd: project, env: bareEnvironment(folder) }).stdout
  check(`${name}, import`, () => esm(project, start, wanted))
  check(`${name}, require`, () => commonJs(project, start, wanted))
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`

/** Each package manager, which brings the package to this Node: the library, and of the binaries those that fit this machine. */
function installed(registry, wanted) {
  for (const manager of managers) {
    let program
    try {
      program = manager.npm && runtime(manager)
    } catch (error) {
      skip(`installed by ${manager.name}`, error.message.split('\n').slice(0, 3).join(' '))
      continue
    }
    check(`installed by ${manager.name}`, () => {
      registry.served()
      const project = installBy(manager, program, folder, registry.address)
      const ours = registry.served().filter(({ file }) => file.startsWith('wengert'))
      const foreign = ours.filter(({ file }) => /^wengert-[a-z]/.test(file) && !file.startsWith(`wengert-${platform}-${arch}-`))
      if (!manager.fetchesAll && foreign.length > 0)
        throw new Error(`expected the binaries of this platform alone, got ${foreign.map(({ file }) => file)}`)
      const bytes = ours.reduce((sum, one) => sum + one.bytes, 0)
      if (!manager.fetchesAll && bytes > limits.downloadMB * 1e6)
        throw new Error(`expected ${limits.downloadMB} MB at most, got ${megabytes(bytes)}`)
      const start = (file) => run(process.execPath, [file], { cwd: project, env: bareEnvironment(folder) }).stdout
      return `${esm(project, start, wanted)}; ${commonJs(project, start, wanted)}; downloaded ${megabytes(bytes)} in ${ours.length} of our packages`
    })
  }
}

/** arm64 on another processor: qemu for programs, the cross compiler's C library. */
function emulated(platforms, registry) {
  const emulator = 'qemu-aarch64-static'
  const libraries = '/usr/aarch64-linux-gnu'
  if (spawnSync(emulator, ['--version']).status !== 0) return skip('arm64', `${emulator} is not installed`)
  if (!existsSync(join(libraries, 'lib', 'libstdc++.so.6'))) return skip('arm64', `no C library of arm64 in ${libraries}`)
  if (!platforms.some(({ target }) => target === 'linux-arm64')) return skip('arm64', 'no binary: npm run binaries makes it')
  const { project } = install(folder, registry.address, { name: 'arm64', flags: ['--os=linux', '--cpu=arm64', '--libc=glibc'] })
  const node = runtime(runtimesFor('linux', 'arm64')[1], ['--force', '--os=linux', '--cpu=arm64'])
  const path = spawnSync('sh', ['-c', `command -v ${emulator}`], { encoding: 'utf8' }).stdout.trim()
  onRuntime('arm64 emulated, Node 22', [path, '-L', libraries, node], project, 'native')
}

/** Each kernel of OpenBLAS that this processor can run, by the binary of the installed package and in a program of its own. */
function kernels(project, binary) {
  if (binary !== 'released') return skip('kernels', 'not a released binary: npm run binaries makes one')
  const bare = bareEnvironment(folder)
  const { loaded, native } = JSON.parse(
    spawnSync(process.execPath, [join(project, 'node_modules/wengert/dist/lib/cli/main.js'), 'doctor', '--json'], {
      encoding: 'utf8',
      env: bare,
    }).stdout,
  )
  const libc = platform === 'linux' && /musl/.test(loaded) ? '-musl' : ''
  const program = programOf(`${platform}-${arch}${libc}`)
  if (!program) skip('kernels in a program of their own', 'npm run binaries was not run on this machine')
  for (const core of coresFor(platform, arch, native.isa)) {
    const env = { ...bare, ...forced(core) }
    if (program)
      check(`kernels of ${core.names[0]}, in a program of their own`, () => run(program, [core.names.join()], { env }).stdout.trim())
    check(`kernels of ${core.names[0]}, in the addon`, () =>
      run(process.execPath, [addonScript, loaded, core.names.join()], { env }).stdout.trim(),
    )
  }
}

/** Where the binary is missing, the library runs in JavaScript and says what to do. */
function missing(packed, registry) {
  const own = packed.platforms.find((one) => one.own)
  const without = install(folder, registry.address, { name: 'without', flags: ['--omit=optional'] }).project
  copyFileSync(join(folder, 'project', 'quick-start.mjs'), join(without, 'quick-start.mjs'))
  check('fallback', () => fallback(without, folder, own?.name ?? '@wengert/'))
  const [os, cpu] = own?.target === 'darwin-arm64' ? ['win32', 'x64'] : ['darwin', 'arm64']
  if (!packed.platforms.some(({ target }) => target === `${os}-${cpu}`))
    return skip('fallback, of another platform', `no binary for ${os}-${cpu}`)
  const other = install(folder, registry.address, { name: 'other', flags: [`--os=${os}`, `--cpu=${cpu}`] }).project
  copyFileSync(join(folder, 'project', 'quick-start.mjs'), join(other, 'quick-start.mjs'))
  check('fallback, installed for another platform', () => fallback(other, folder, `@wengert/${os}-${cpu}`))
}

async function all() {
  const packed = await pack(folder)
  registry = await startRegistry(folder)
  const { project, seconds } = install(folder, registry.address)
  const wanted = packed.binary ? 'native' : 'js'
  if (!packed.binary) console.log('no binary for this platform: npm run build:native or npm run binaries makes one')
  else if (packed.binary !== 'released') console.log('the binary is that of npm run build:native, which is larger than a released one')
  check('contents', () => contents(packed, project))
  for (const { name, bytes, unpacked } of packed.platforms) console.log(`  ${name}: ${megabytes(bytes)}, unpacked ${megabytes(unpacked)}`)
  check(
    'install',
    () => `${seconds.toFixed(1)} s with its dependencies, ${(sizeOf(join(project, 'node_modules')) / 1e6).toFixed(1)} MB in all`,
  )
  onRuntime(`Node ${process.versions.node}`, [process.execPath], project, wanted)
  check('what is read later', () => later(project, folder))
  const bundler = join(root, 'scripts', 'package', 'bundled.mjs')
  check('joined into a program by a bundler', () => run(process.execPath, [bundler, project]).stdout.trim())
  check('types', () => types(project, folder))
  missing(packed, registry)
  if (packed.binary) check('doctor', () => doctor(project, folder))
  kernels(project, packed.binary)
  const parts = [packed, packed.platforms.find(({ own }) => own)].filter(Boolean)
  report.downloadMB = parts.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6
  report.unpackedMB = parts.reduce((sum, { unpacked }) => sum + unpacked, 0) / 1e6
  Object.assign(report, costs(project, values.quick ? 5 : Number(values.runs)))
  const sizes = `the library ${megabytes(packed.bytes)}, with this platform's binary ${report.downloadMB.toFixed(2)} MB, unpacked ${report.unpackedMB.toFixed(2)} MB`
  console.log(
    `${sizes}; import ${report.importMs} ms and ${report.importMB} MB over an empty script (processor: ${report.importCpuMs} ms over ${report.nodeCpuMs}), with the engine ${report.withEngineMs} ms and ${report.withEngineMB} MB`,
  )
  if (values.quick) return
  for (const [name, most] of Object.entries(limits)) {
    if (packed.binary !== 'released' && !name.startsWith('import')) skip(`limit of ${name}`, 'not a released binary')
    else if (platform !== 'linux' && name.startsWith('import'))
      skip(`limit of ${name}`, `it is one for Linux; here ${report[name].toFixed(2)}`)
    else
      check(`at most ${most} ${name}`, () =>
        report[name] <= most
          ? report[name].toFixed(2)
          : (() => {
              throw new Error(`got ${report[name]}`)
            })(),
      )
  }
  for (const other of others) {
    let path
    try {
      path = runtime(other)
    } catch (error) {
      skip(other.name, error.message.split('\n').slice(0, 3).join(' '))
      continue
    }
    onRuntime(other.name, [path, ...other.args], project, wanted)
  }
  emulated(packed.platforms, registry)
  installed(registry, wanted)
}

try {
  await all()
} finally {
  registry?.stop()
  rmSync(folder, { recursive: true, force: true })
}
console.log(`${count.passed} passed, ${count.failed} failed${count.skipped ? `, ${count.skipped} skipped` : ''}`)
if (values.json) console.log(JSON.stringify({ ...count, ...report }))
process.exitCode = count.failed > 0 ? 1 : 0
