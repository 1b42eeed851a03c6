/**
 * A registry of npm on this machine alone, with the tarballs of a folder in it: what is packed is installed from there as it will be
 * from a real one, by every package manager, each choosing what fits its platform.
 *
 *   node registry.mjs FOLDER      prints its address; every tarball that is asked for is a line in FOLDER/served
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { packFolder, root } from './stage.mjs'

const self = fileURLToPath(import.meta.url)

/** The package.json of an archive of npm's. Not by the system's tar: on Windows some take what is before a colon for a machine. */
function manifestIn(tar) {
  const field = (from, length) => tar.toString('latin1', from, from + length).replace(/\0.*/s, '')
  for (let at = 0; field(at, 100); ) {
    const size = Number.parseInt(field(at + 124, 12), 8)
    if (field(at, 100) === 'package/package.json') return JSON.parse(tar.toString('utf8', at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
  throw new Error('expected a package.json in the archive, got none')
}

/** What a registry says of each package in a folder: all that its manifest has, and where the tarball is. */
function catalogue(folder, address) {
  const packages = new Map()
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.tgz'))) {
    const bytes = readFileSync(join(folder, file))
    const manifest = manifestIn(gunzipSync(bytes))
    const [shasum, integrity] = [
      createHash('sha1').update(bytes).digest('hex'),
      `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
    ]
    const dist = { tarball: `${address}-/${file}`, shasum, integrity }
    const known = packages.get(manifest.name) ?? { name: manifest.name, 'dist-tags': {}, versions: {}, time: {} }
    known.versions[manifest.version] = { ...manifest, dist }
    known['dist-tags'].latest = manifest.version
    known.time[manifest.version] = new Date(0).toISOString() // some wait until a version is some days old
    packages.set(manifest.name, known)
  }
  return packages
}

function serve(folder) {
  let packages
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url.slice(1).split('?')[0])
    if (path.startsWith('-/') && path.endsWith('.tgz')) {
      const bytes = readFileSync(join(folder, basename(path)))
      appendFileSync(join(folder, 'served'), `${basename(path)} ${bytes.length}\n`)
      return response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes.length }).end(bytes)
    }
    const found = packages.get(path)
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(found ?? { error: 'not found' }))
  })
  server.listen(0, '127.0.0.1', () => {
    const address = `http://127.0.0.1:${server.address().port}/`
    packages = catalogue(folder, address)
    process.stdout.write(`${address}\n`)
  })
}

/** The packages that the library depends on, as they are installed here. */
function dependencies(folder) {
  const of = (name) => Object.keys(JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).dependencies ?? {})
  const names = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies)
  for (let i = 0; i < names.length; i++) names.push(...of(names[i]).filter((name) => !names.includes(name)))
  for (const name of names) packFolder(join(root, 'node_modules', name), folder)
}

/**
 * Starts one, in a process of its own since those who install wait for their programs, with the tarballs that lie in the folder
 * and the library's dependencies. `served` tells what was downloaded since it was last asked.
 */
export async function startRegistry(folder) {
  dependencies(folder)
  const child = spawn(process.execPath, [self, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  const address = await new Promise((resolve, reject) => {
    child.stdout.once('data', (data) => resolve(String(data).trim()))
    child.once('exit', () => reject(new Error('the registry did not start')))
  })
  const log = join(folder, 'served')
  writeFileSync(log, '')
  return {
    address,
    served() {
      const lines = readFileSync(log, 'utf8').trim().split('\n').filter(Boolean)
      writeFileSync(log, '')
      return lines.map((line) => ({ file: line.split(' ')[0], bytes: Number(line.split(' ')[1]) }))
    },
    stop: () => child.kill(),
  }
}

if (process.argv[1] === self) serve(process.argv[2])
