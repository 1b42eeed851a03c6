/** The platforms that a release has binaries for, and what to do on each where none loads. */

/** By platform, architecture and, on Linux, C library. */
export const binaries: Readonly<Record<string, { runs: string; tested: string }>> = {
  'linux-x64-glibc': { runs: 'glibc 2.27 or later', tested: 'run by us' },
  'linux-x64-musl': { runs: 'musl, as in Alpine', tested: 'run by us' },
  'linux-arm64-glibc': { runs: 'glibc 2.27 or later', tested: 'neither built nor run by us yet' },
  'linux-arm64-musl': { runs: 'musl, as in Alpine', tested: 'neither built nor run by us yet' },
  'win32-x64': { runs: 'Windows 10 or later', tested: 'run by us under wine' },
  'darwin-arm64': { runs: 'macOS 12 or later', tested: 'neither built nor run by us yet' },
}

/** As the table names it. `glibc` is the version that the process runs on, where it is glibc. */
export function platformOf({ platform, arch, glibc }: { platform: string; arch: string; glibc: string | undefined }): string {
  return platform === 'linux' ? `linux-${arch}-${glibc === undefined ? 'musl' : 'glibc'}` : `${platform}-${arch}`
}

/** The platform that the process runs on. */
export function ownPlatform(): string {
  const { platform, arch } = process
  const glibc =
    platform === 'linux'
      ? (process.report.getReport() as { header?: { glibcVersionRuntime?: string } }).header?.glibcVersionRuntime
      : undefined
  return platformOf({ platform, arch, glibc })
}

/** What a release lacks, and what serves there instead. */
const instead: Readonly<Record<string, string>> = {
  'win32-arm64': 'Node for x64 runs on Windows for Arm, and has a binary.',
  'win32-ia32': 'Install Node for x64.',
  'darwin-x64':
    'On a Mac with Apple silicon install Node for arm64. On one with Intel: xcode-select --install; brew install cmake openblas; then npm start in a clone of the repository.',
}

/** One sentence or two: what to do where no binary loads. */
export function remedyOn(name: string): string {
  const known = binaries[name]
  if (known)
    return `There is a binary for ${name} (${known.runs}): install the package again on this machine, not a copy of another's node_modules.`
  const other = instead[name] ?? 'To build one: npm start in a clone of the repository, with a C++ compiler, cmake and OpenBLAS.'
  return `No release has a binary for ${name}. ${other} Until then the JavaScript engine computes the same, more slowly.`
}
