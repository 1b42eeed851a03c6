/**
 * The packages that each hold the binary of one platform: optional dependencies of the library, of which package managers install
 * what fits by `os`, `cpu` and `libc`. Nobody imports them; lib/native/find.ts looks for them by name.
 */
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { targets } from '../binaries/targets.mjs'
import { packFolder, root } from './stage.mjs'

/** What a package manager compares with its own machine. */
function fits({ folder, kind }) {
  const [os, cpu] = folder.split('-')
  return { os: [os], cpu: [cpu], ...(os === 'linux' ? { libc: [kind] } : {}) }
}

/** The target of this machine. */
function ownTarget() {
  const { platform, arch } = process
  const musl = platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime
  return `${platform}-${arch}${musl ? '-musl' : ''}`
}

/** Packs the binaries that are there, and gives what is told of each tarball. */
export function packPlatforms(folder, version) {
  const { repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return Object.entries(targets).flatMap(([name, target]) => {
    const own = name === ownTarget()
    const released = join(root, 'prebuilds', target.folder, target.file)
    const built = join(root, 'build', 'Release', 'wengert.node')
    const file = existsSync(released) ? released : own && existsSync(built) ? built : undefined
    if (!file) return []
    const stage = join(folder, `stage-${name}`)
    mkdirSync(stage, { recursive: true })
    const manifest = {
      name: `@wengert/${name}`,
      version,
      description: `The binary of wengert for ${name}: installed with wengert where it fits.`,
      license: 'MIT',
      ...(repository ? { repository } : {}), // what npm's provenance is compared with
      ...fits(target),
      engines: { node: '^20.19.0 || >=22.12.0' },
      preferUnplugged: true, // Yarn: a binary cannot be loaded out of an archive
      main: 'wengert.node',
      files: ['wengert.node', 'licences'],
    }
    writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
    writeFileSync(join(stage, 'README.md'), `# ${manifest.name}\n\n${manifest.description}\n`)
    copyFileSync(join(root, 'LICENSE'), join(stage, 'LICENSE'))
    cpSync(join(root, 'licences'), join(stage, 'licences'), { recursive: true })
    copyFileSync(file, join(stage, 'wengert.node'))
    return [
      { name: manifest.name, target: name, own, binary: file === released ? 'released' : 'of this machine', ...packFolder(stage, folder) },
    ]
  })
}
