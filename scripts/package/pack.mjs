/** The packages as they would be published: the library, compiled apart and bundled, and one package for each platform's binary. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundle } from './node.mjs'
import { packPlatforms } from './platforms.mjs'
import { packFolder, root, run, tsc } from './stage.mjs'

/**
 * Packs all into `folder`. Binaries are those of `npm run binaries`; where there is none for this platform, that of
 * `npm run build:native` stands in. Gives the library's tarball, those of the platforms, and which binary this platform's is:
 * undefined where there is neither.
 */
export async function pack(folder) {
  const stage = join(folder, 'stage')
  mkdirSync(stage, { recursive: true })
  for (const name of ['README.md', 'LICENSE']) cpSync(join(root, name), join(stage, name))
  // Without the examples: they import the library by its name, which means what is compiled in dist, where that is.
  run(process.execPath, [tsc, '-p', join(root, 'scripts', 'package'), '--outDir', join(stage, 'dist')])
  await bundle(join(stage, 'dist', 'lib'))
  const { version, ...manifest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const platforms = packPlatforms(folder, version)
  const optionalDependencies = Object.fromEntries(platforms.map(({ name }) => [name, version]))
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify({ version, ...manifest, optionalDependencies }, null, 2)}\n`)
  const packed = packFolder(stage, folder)
  return { ...packed, platforms, binary: platforms.find(({ own }) => own)?.binary }
}
