/** What is checked of an installed package. Each check throws where it fails, and may give a short text for the report. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bareEnvironment, quickStart, root, run, tsc } from './stage.mjs'

const expectation = (name, expected, got) => new Error(`${name}: expected ${expected}, got ${JSON.stringify(got)}`)

/** Said after the quick start: the engine that computed it. */
const tellEngine = "console.log('engine', backend().name)"
const withBackend = (code) => code.replace(/^import \{/, 'import { backend,')

/** The engine that was told, and the accuracy that the quick start printed. */
function engineOf(name, output, wanted) {
  const engine = /^engine (native|js)$/m.exec(output)?.[1]
  const accuracy = Number(/validation: \{[^}]*accuracy: ([\d.]+)/.exec(output)?.[1])
  if (engine !== wanted) throw expectation(name, `the engine ${wanted}`, output)
  if (!(accuracy > 0.9)) throw expectation(name, 'an accuracy above 0.9', output)
  return `${engine}, accuracy ${accuracy}`
}

/** Nothing that runs on install, nothing that npm would compile, and with each binary the licences of what is in it. */
export function contents({ files, platforms }, project) {
  const manifest = JSON.parse(readFileSync(join(project, 'node_modules', 'wengert', 'package.json'), 'utf8'))
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) {
    if (manifest.scripts?.[script]) throw expectation('scripts', `no ${script}`, manifest.scripts[script])
  }
  for (const name of ['README.md', 'LICENSE', 'dist/lib/index.js', 'dist/lib/index.d.ts', 'dist/lib/cli/main.js']) {
    if (!files.includes(name)) throw expectation('files', name, 'no such file')
  }
  for (const { name, files: own } of platforms)
    for (const file of ['wengert.node', 'LICENSE', 'licences/README.md', 'licences/openblas.txt'])
      if (!own.includes(file)) throw expectation(name, file, 'no such file')
  const foreign = files.filter((name) => /\.node$|binding\.gyp|CMakeLists|^native\/|^test\/|\.ts$/.test(name) && !name.endsWith('.d.ts'))
  if (foreign.length > 0) throw expectation('files', 'nothing of the sources', foreign)
  return `${files.length} files, ${Object.keys(manifest.optionalDependencies).length} platforms`
}

export function esm(project, runtime, wanted) {
  const file = join(project, 'quick-start.mjs')
  writeFileSync(file, `${withBackend(quickStart())}\n${tellEngine}\n`)
  return engineOf('import', runtime(file), wanted)
}

/** In CommonJS the quick start's `import` is a `require`, its awaits stand in a function. */
export function commonJs(project, runtime, wanted) {
  const file = join(project, 'quick-start.cjs')
  const [first, ...rest] = withBackend(quickStart()).split('\n')
  const names = /\{(.*)\}/.exec(first)?.[1]
  writeFileSync(file, `const {${names}} = require('wengert')\nasync function main() {\n${rest.join('\n')}\n${tellEngine}\n}\nmain()\n`)
  return engineOf('require', runtime(file), wanted)
}

/** The types, strictly, with every kind of resolution. No types of Node are at hand, and the library's own are checked too. */
export function types(project, folder) {
  const code = `${quickStart()}\nconst cost: number | undefined = history.last?.cost\nexport default cost\n`
  const cjs = [
    "import wengert = require('wengert')",
    'const model: wengert.nn.Module = new wengert.nn.Linear(2, 1)',
    'const y: wengert.Tensor = model.forward(wengert.tensor([[1, 2]]))',
    'export = y.shape',
  ].join('\n')
  const kinds = [
    ['bundler', { module: 'esnext', moduleResolution: 'bundler' }, 'quick.ts', code],
    ['node16', { module: 'node16', moduleResolution: 'node16' }, 'quick.mts', code],
    ['nodenext', { module: 'nodenext', moduleResolution: 'nodenext' }, 'quick.mts', code],
    ['nodenext-cjs', { module: 'nodenext', moduleResolution: 'nodenext' }, 'quick.cts', cjs],
  ]
  for (const [name, options, file, text] of kinds) {
    const place = join(project, `types-${name}`)
    mkdirSync(place, { recursive: true })
    writeFileSync(join(place, file), text)
    const compilerOptions = {
      strict: true,
      noEmit: true,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable', 'dom'],
      types: [],
      skipLibCheck: false,
      ...options,
    }
    writeFileSync(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: [file] }))
    run(process.execPath, [tsc, '-p', place], { env: bareEnvironment(folder) })
  }
  return kinds.map(([name]) => name).join(', ')
}

/** What the package reads in files of its own when it is called: scripts/package/later-parts.mjs, also where Node takes no binaries. */
export function later(project, folder) {
  const script = join(project, 'later-parts.mjs')
  copyFileSync(join(root, 'scripts', 'package', 'later-parts.mjs'), script)
  const told = [[], ['--no-addons']].map((flags) =>
    run(process.execPath, [...flags, script], { cwd: project, env: bareEnvironment(folder) }).stdout.trim(),
  )
  if (told[0] !== told[1]) throw expectation('with --no-addons', told[0], told[1])
  return told[0]
}

/** Where the package of this platform is missing: one warning that names it and the remedy, and the same result. */
export function fallback(project, folder, name) {
  const { stderr, stdout } = run(process.execPath, [join(project, 'quick-start.mjs')], { cwd: project, env: bareEnvironment(folder) })
  const warnings = stderr.split('\n').filter((line) => /\[WENGERT_JS\]/.test(line))
  if (warnings.length !== 1) throw expectation('fallback', 'one warning', stderr)
  if (!warnings[0].includes(name) || !/install/.test(warnings[0]))
    throw expectation('fallback', `a warning that names ${name}`, warnings[0])
  const [, remedy] = /more slowly\. (.*) `npx wengert doctor` says more\.$/.exec(warnings[0]) ?? []
  if (remedy === undefined || stderr.split(remedy).length !== 2) throw expectation('fallback', 'what to do, said once', stderr)
  return engineOf('fallback', stdout, 'js')
}

export function doctor(project, folder) {
  const program = join(project, 'node_modules', '.bin', process.platform === 'win32' ? 'wengert.cmd' : 'wengert')
  if (!existsSync(program)) throw expectation('doctor', program, 'no such file')
  const { status, stdout, stderr } = spawnSync(program, ['doctor', '--json'], {
    encoding: 'utf8',
    env: bareEnvironment(folder),
    shell: process.platform === 'win32',
  })
  if (status !== 0) throw expectation('doctor', 'status 0', `${status}: ${stdout}${stderr}`)
  const { loaded, native } = JSON.parse(stdout)
  if (!loaded.includes('@wengert')) throw expectation('doctor', 'the binary of a package', loaded)
  return `${native.blas}, ${native.isa}`
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1]

/**
 * What importing costs over an empty script, in milliseconds of the clock and of the processor and in megabytes: the median of
 * differences, each to the mean of an empty script right before and one right after, so that a machine whose speed changes changes
 * both. Of the processor's time the share of what Node takes to start is told, too: that one holds on any machine.
 */
export function costs(project, runs) {
  const script = (body) =>
    `${body}; const { user, system } = process.cpuUsage(); console.log(JSON.stringify([process.memoryUsage().rss / 1e6, (user + system) / 1e3]))`
  const measure = (body) => {
    const start = performance.now()
    const { stdout } = run(process.execPath, ['--input-type=module', '-e', script(body)], { cwd: project })
    const ms = performance.now() - start
    const [mb, cpu] = JSON.parse(stdout)
    return { ms, mb, cpu }
  }
  const programs = { imported: "await import('wengert')", used: "const { backend } = await import('wengert'); backend()" }
  const over = { imported: { ms: [], mb: [], cpu: [], share: [] }, used: { ms: [], mb: [], cpu: [], share: [] } }
  const empty = []
  for (const body of ['', ...Object.values(programs)]) measure(body) // files into the system's cache
  let before = measure('')
  for (let i = 0; i < runs; i++) {
    for (const [name, body] of Object.entries(programs)) {
      const got = measure(body)
      const after = measure('')
      for (const unit of ['ms', 'mb', 'cpu']) over[name][unit].push(got[unit] - (before[unit] + after[unit]) / 2)
      over[name].share.push((2 * got.cpu) / (before.cpu + after.cpu) - 1)
      empty.push(after.cpu)
      before = after
    }
  }
  const of = (name, unit) => Number(median(over[name][unit]).toFixed(1))
  return {
    importMs: of('imported', 'ms'),
    importCpuMs: of('imported', 'cpu'),
    nodeCpuMs: Number(median(empty).toFixed(1)),
    importShare: Number(median(over.imported.share).toFixed(2)),
    importMB: of('imported', 'mb'),
    withEngineMs: of('used', 'ms'),
    withEngineMB: of('used', 'mb'),
  }
}
