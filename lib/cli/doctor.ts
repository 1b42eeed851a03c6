/** `wengert doctor`: the machine, the binaries, both engines tried, and what to do about what is wrong. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, release } from 'node:os'
import { join } from 'node:path'
import type { BackendName } from '../backend/backend.js'
import { loadNativeBackend } from '../backend/native/engine.js'
import { setBackend } from '../backend/select.js'
import { findLaunchers } from '../distributed/launchers.js'
import type { Description } from '../native/addon.js'
import { installation, packageFolder } from '../native/find.js'
import { type Attempt, addonAttempts, addonFile, loadAddon } from '../native/load.js'
import { building, glibcVersion, ownPlatform, binaries as released, remedyOn } from '../native/platforms.js'
import '../primitives/methods.js'
import { Linear, Sequential, Tanh } from '../nn/layers.js'
import { squaredError } from '../nn/loss.js'
import { tensor } from '../tensor/creation.js'
import { Random } from '../tensor/random.js'
import { FBGD } from '../train/trainers.js'

/** The self-test's outcome on one engine: the costs before and after, and how long it took. */
interface Learned {
  first: number
  last: number
  seconds: number
}

interface Report {
  version: string
  platform: string
  libc: string
  runtime: string
  processor: string
  features: string[]
  processors: number
  binaries: string[]
  /** Each binary that was tried, or place that was searched, and what happened. */
  tried: readonly Attempt[]
  /** The binary that was loaded, or why none was. */
  loaded?: string
  failure?: string
  native?: Pick<Description, 'blas' | 'isa' | 'threads' | 'processors'>
  /** The launchers of several processes. */
  mpi: string[]
  environment: Record<string, string>
  learned: Partial<Record<BackendName, Learned | string>>
  /** The largest relative difference between the costs of the two engines. */
  difference?: number
  remedies: string[]
}

const xor = {
  x: tensor([0, 0, 0, 1, 1, 0, 1, 1], { shape: [4, 2], dtype: 'float64' }),
  y: tensor([0, 1, 1, 0], { shape: [4, 1], dtype: 'float64' }),
}

/** XOR by a 2-8-1 network in float64, 2,000 epochs: some ten milliseconds natively, a fraction of a second in JavaScript. */
async function learn(name: BackendName): Promise<Learned & { costs: number[] }> {
  setBackend(name)
  const rng = new Random(1)
  const options = { rng, dtype: 'float64' } as const
  const model = new Sequential(new Linear(2, 8, options), new Tanh(), new Linear(8, 1, options))
  const trainer = new FBGD(model, { loss: squaredError, learningRate: 0.2 })
  const start = performance.now()
  const { epochs } = await trainer.fit(xor, { epochs: 2000, seed: 1 })
  const seconds = (performance.now() - start) / 1000
  const costs = epochs.map(({ cost }) => cost)
  return { first: costs[0] as number, last: costs.at(-1) as number, seconds, costs }
}

function libc(): string {
  if (process.platform !== 'linux') return 'of the system'
  const version = glibcVersion()
  return version === undefined ? 'musl' : `glibc ${version}`
}

function runtime(): string {
  const { bun, deno, node } = process.versions as Record<string, string | undefined>
  return bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`
}

/** What of the processor's abilities concerns the kernels; only Linux tells without asking the processor. */
function features(): string[] {
  try {
    const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? ''
    const all = new Set(line.split(' '))
    return ['sse4_2', 'avx', 'avx2', 'fma', 'avx512f', 'avx512vl', 'asimd', 'sve'].filter((name) => all.has(name))
  } catch {
    return []
  }
}

/** The packages with binaries that are installed, and the binaries of a clone. */
function binaries(folder: string): string[] {
  const list = (path: string) => (existsSync(path) ? readdirSync(path) : [])
  const built = list(join(folder, 'build', 'Release')).filter((name) => name.endsWith('.node'))
  return [
    ...installation().packages,
    ...built.map((name) => `build/Release/${name}`),
    ...list(join(folder, 'prebuilds')).flatMap((platform) =>
      list(join(folder, 'prebuilds', platform)).map((name) => `prebuilds/${platform}/${name}`),
    ),
  ]
}

/** What to do about a binary that did not load, by what the loader said. */
const loadRemedies: [pattern: RegExp, says: string][] = [
  [/GLIBC_[\d.]+'? not found/, 'The C library is too old for the binary: use a newer system, or build from source.'],
  [
    /code signature|system policy/i,
    'macOS does not accept the binary: remove node_modules and install again; where it came by a browser, xattr -d com.apple.quarantine lets it in.',
  ],
  [/cut short|file too short/, 'A binary is not whole: remove it and install the package, or build it, again. Is the disk full?'],
  [/built from other sources/, 'A binary is of another version of the library: build it again, or remove build/.'],
  [
    /no ELF file|built for|invalid ELF|wrong (ELF|architecture)|mach-o|Error relocating|Error loading shared|linked against|not a valid Win32|Bad EXE format/i,
    'A binary is of another platform: install the package on this machine instead of copying node_modules.',
  ],
]

/** What to do, told from what was tried. */
function remedies(report: Report): string[] {
  const { failure, tried, learned, environment } = report
  const here = ownPlatform()
  const outcomes = tried.map(({ outcome }) => outcome).join('\n')
  const said = loadRemedies.filter(([pattern]) => pattern.test(outcomes)).map(([, says]) => says)
  if (failure !== undefined) {
    const installed = installation()
    said.push(remedyOn(here, installed))
    if (here in released && !installed.clone && !installed.named) said.push(`Where that does not help, build the binary: ${building}.`)
    said.push('Everything runs on the JavaScript engine meanwhile: the same results, more slowly.')
  }
  if (environment.WENGERT_BACKEND === 'js') said.push('WENGERT_BACKEND=js keeps the native engine from being used: unset it.')
  for (const [name, outcome] of Object.entries(learned)) {
    if (typeof outcome === 'string' || outcome.last > 0.01)
      said.push(`The ${name} engine does not learn as it should: please report this output.`)
  }
  if ((report.difference ?? 0) > 1e-6) said.push('The engines disagree: please report this output.')
  return said
}

async function examine(): Promise<Report> {
  const folder = packageFolder()
  const manifest = createRequire(import.meta.url)(join(folder, 'package.json')) as { version: string }
  const names = ['WENGERT_BACKEND', 'WENGERT_THREADS', 'WENGERT_ADDON', 'WENGERT_MPI']
  const report: Report = {
    version: manifest.version,
    platform: `${process.platform}-${process.arch}, kernel ${release()}`,
    libc: libc(),
    runtime: runtime(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    features: features(),
    processors: availableParallelism(),
    binaries: binaries(folder),
    tried: addonAttempts(),
    mpi: findLaunchers().map(({ command, family, version }) => `${family} ${version} (${command})`),
    environment: Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
    learned: {},
    remedies: [],
  }
  try {
    loadNativeBackend()
    const { blas, isa, threads, processors } = loadAddon().describe()
    report.native = { blas, isa, threads, processors }
    report.loaded = addonFile()
  } catch (error) {
    report.failure = (error as Error).message
  }
  const costs: number[][] = []
  for (const name of report.native ? (['native', 'js'] as const) : (['js'] as const)) {
    try {
      const { costs: own, ...learned } = await learn(name)
      costs.push(own)
      report.learned[name] = learned
    } catch (error) {
      report.learned[name] = (error as Error).message
    }
  }
  const [a, b] = costs
  if (a && b) report.difference = Math.max(...a.map((cost, i) => Math.abs(cost - (b[i] as number)) / Math.max(Math.abs(cost), 1e-12)))
  report.remedies = remedies(report)
  return report
}

/** What a release has for a platform. */
function releaseFor(name: string): string {
  const binary = released[name]
  return binary ? `${name}: ${binary.runs}; ${binary.tested}` : `no binary for ${name}`
}

const noMpi = () =>
  process.platform === 'win32'
    ? 'training on several processes is for Linux and macOS'
    : 'none: to train on several processes install Open MPI (Debian: openmpi-bin; macOS: brew install open-mpi)'

function print(report: Report): string {
  const { native, learned, difference } = report
  const rows: [string, string][] = [
    ['version', report.version],
    ['platform', report.platform],
    ['release', releaseFor(ownPlatform())],
    ['C library', report.libc],
    ['runtime', report.runtime],
    [
      'processor',
      `${report.processor}, ${report.processors} available${report.features.length > 0 ? `, ${report.features.join(' ')}` : ''}`,
    ],
    ['binaries', report.binaries.join(', ') || 'none'],
    ['loaded', report.loaded ?? 'none'],
    ...report.tried.map(({ tried, outcome }): [string, string] => ['tried', `${tried}: ${outcome}`]),
    ...(native
      ? [
          [
            'native',
            `OpenBLAS for ${native.blas}, own kernels for ${native.isa}, threads: ${native.threads} of ${native.processors} at most`,
          ] as [string, string],
        ]
      : []),
    ['MPI', report.mpi.join(', ') || noMpi()],
    ...Object.entries(report.environment).map(([name, value]): [string, string] => [name, value]),
    ...Object.entries(learned).map(([name, outcome]): [string, string] => [
      `XOR, ${name}`,
      typeof outcome === 'string'
        ? outcome
        : `cost ${outcome.first.toPrecision(4)} → ${outcome.last.toExponential(1)} in ${outcome.seconds.toFixed(2)} s`,
    ]),
    ...(difference === undefined ? [] : [['engines', `agree to ${difference.toExponential(1)}`] as [string, string]]),
  ]
  const table = rows.map(([name, text]) => `${name.padEnd(16)}${text}`).join('\n')
  const said = report.remedies.length === 0 ? 'All is well.' : report.remedies.map((line) => `* ${line}`).join('\n')
  return `${table}\n\n${said}\n`
}

/**
 * Prints the report; as one line of JSON where asked.
 *
 * @returns 0 where both engines work, 1 where the native one is missing or not used, 2 where an engine computes wrongly
 */
export async function doctor({ json }: { json: boolean }): Promise<number> {
  const report = await examine()
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : print(report))
  const wrong = Object.values(report.learned).some((outcome) => typeof outcome === 'string' || outcome.last > 0.01)
  if (wrong || (report.difference ?? 0) > 1e-6) return 2
  return report.failure === undefined && report.environment.WENGERT_BACKEND !== 'js' ? 0 : 1
}
