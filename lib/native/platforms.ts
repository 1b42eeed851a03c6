/**
 * The platforms that a release has binaries for, each in a package of its own that npm installs where it fits, and what to do on
 * each where none loads.
 */

/** By platform, architecture and, on Linux, C library. */
export const binaries: Readonly<Record<string, { runs: string; tested: string }>> = {
  'linux-x64-glibc': { runs: 'glibc 2.18 or later', tested: 'tested by us' },
  'linux-x64-musl': { runs: 'musl, as in Alpine', tested: "tested by us under Bun on Debian's musl" },
  'linux-arm64-glibc': { runs: 'glibc 2.18 or later', tested: 'tested by us in parts, under qemu' },
  'linux-arm64-musl': { runs: 'musl, as in Alpine', tested: 'built and checked by us, not run' },
  'win32-x64': { runs: 'Windows 10 or later', tested: 'tested by us under wine' },
  'darwin-arm64': { runs: 'macOS 12 or later', tested: 'built and checked by us, not run' },
  'darwin-x64': { runs: 'macOS 12 or later', tested: 'built and checked by us, not run' },
}

/** The package that brings a platform's binary: `@wengert/linux-x64`, `@wengert/linux-x64-musl`. */
export const packageFor = (name: string): string => `@wengert/${name.replace('-glibc', '')}`

/** As the table names it. `glibc` is the version that the process runs on, where it is glibc. */
export function platformOf({ platform, arch, glibc }: { platform: string; arch: string; glibc: string | undefined }): string {
  return platform === 'linux' ? `linux-${arch}-${glibc === undefined ? 'musl' : 'glibc'}` : `${platform}-${arch}`
}

/** The version of glibc that the process runs on; undefined on musl and where there is neither. Some ten milliseconds. */
export function glibcVersion(): string | undefined {
  if (process.platform !== 'linux') return undefined
  // Other runtimes may have no report.
  const report = (process as Partial<NodeJS.Process>).report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  if (report?.header) return report.header.glibcVersionRuntime
  return process.getBuiltinModule('node:fs').existsSync('/etc/alpine-release') ? undefined : 'of unknown version'
}

/** The platform that the process runs on. */
export function ownPlatform(): string {
  const { platform, arch } = process
  return platformOf({ platform, arch, glibc: glibcVersion() })
}

/** What a release lacks, and what serves there instead. */
const instead: Readonly<Record<string, string>> = {
  'win32-arm64': 'Node for x64 runs on Windows for Arm, and has a binary.',
  'win32-ia32': 'Install Node for x64.',
}

/** How one comes by a binary that no release has. */
export const building =
  'npm start in a clone of the repository, with a C++ compiler, cmake and OpenBLAS; then name its build/Release/wengert.node in WENGERT_ADDON'

/** How the library is installed: in a clone of its repository, or with which packages of platforms beside it; and what WENGERT_ADDON names. */
export interface Installation {
  named?: string | undefined
  clone: boolean
  packages: readonly string[]
}

/** One sentence or two: what to do where no binary loads. */
export function remedyOn(name: string, { named, clone, packages }: Installation): string {
  if (named) return `WENGERT_ADDON names ${named}, so nothing else was tried: name a binary for ${name}, or unset it.`
  if (clone) return 'This is a clone of the repository: npm run build:native builds the binary.'
  const known = binaries[name]
  if (!known) {
    return `No release has a binary for ${name}. ${instead[name] ?? `To build one: ${building}.`}`
  }
  const own = packageFor(name)
  if (packages.includes(own)) return `${own} is installed and does not load: remove node_modules and install again. It takes ${known.runs}.`
  if (packages.length > 0)
    return `node_modules is of another platform: it holds ${packages.join(' and ')}, this is ${name}. Remove it and install on this machine.`
  return `${own}, which holds the binary for this platform, is not installed. Install with optional dependencies (npm install --include=optional); if it is still missing, the lock file was written without it: remove node_modules and the lock file, and install again.`
}
