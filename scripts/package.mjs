/**
 * Makes the tarballs that are published: the library, compiled and joined into few files, and a package for each binary of prebuilds/.
 *
 *   npm run package [-- FOLDER] [--all]     the folder that receives them, dist by default; --all fails where a platform is missing, or
 *                                           where a user of one would download too much
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { targets } from './binaries/targets.mjs'
import { pack } from './package/pack.mjs'
import { mostDownloadMB, root } from './package/stage.mjs'

const { values, positionals } = parseArgs({ allowPositionals: true, options: { all: { type: 'boolean', default: false } } })
const to = resolve(positionals[0] ?? join(root, 'dist'))
const folder = mkdtempSync(join(tmpdir(), 'wengert-pack-'))
try {
  const { platforms, ...library } = await pack(folder)
  const missing = Object.keys(targets).filter((name) => !platforms.some(({ target, binary }) => target === name && binary === 'released'))
  if (missing.length > 0) console.log(`without released binaries for ${missing.join(', ')}: npm run binaries makes them`)
  const large = platforms.filter(({ bytes, binary }) => binary === 'released' && library.bytes + bytes > mostDownloadMB() * 1e6)
  for (const { name, bytes } of large)
    console.log(`with ${name} a user downloads ${((library.bytes + bytes) / 1e6).toFixed(2)} MB, expected ${mostDownloadMB()} at most`)
  if (missing.length + large.length > 0 && values.all) process.exitCode = 1
  else {
    mkdirSync(to, { recursive: true })
    for (const { tarball, bytes, unpacked } of [library, ...platforms]) {
      copyFileSync(tarball, join(to, basename(tarball)))
      console.log(`${join(to, basename(tarball))}: ${(bytes / 1e6).toFixed(2)} MB, unpacked ${(unpacked / 1e6).toFixed(2)} MB`)
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
