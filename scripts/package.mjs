/**
 * Makes the tarball that is published: compiled, joined into few files, with the binaries of prebuilds/.
 *
 *   npm run package [-- FOLDER]     the folder that receives it, dist by default
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { pack, root } from './package/stage.mjs'

const to = resolve(process.argv[2] ?? join(root, 'dist'))
const folder = mkdtempSync(join(tmpdir(), 'wengert-pack-'))
try {
  const { tarball, bytes, unpacked, files, binary } = await pack(folder)
  mkdirSync(to, { recursive: true })
  copyFileSync(tarball, join(to, basename(tarball)))
  const binaries = files.filter((name) => name.endsWith('.node'))
  console.log(
    `${join(to, basename(tarball))}: ${(bytes / 1e6).toFixed(2)} MB, unpacked ${(unpacked / 1e6).toFixed(2)} MB; ${binaries.join(', ')}`,
  )
  if (binary !== 'released') console.log('without a released binary for this platform: npm run binaries makes it')
} finally {
  rmSync(folder, { recursive: true, force: true })
}
