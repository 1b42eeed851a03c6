/**
 * What the release binaries are made from that is not installed on the machine: packages of Debian and of npm, each named in
 * archives.json with its SHA-256 under the release, or the registry, that it is from. They come by apt-get from the mirror that
 * this machine's own apt uses, and by npm; or from a folder that is named, for machines without a network:
 *
 *   npm run binaries -- --sources FOLDER
 *
 * Kept in .cache/binaries/archives: what was fetched once is not asked for again.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cache, fail, found, run, say } from './common.mjs'

const listed = JSON.parse(readFileSync(new URL('archives.json', import.meta.url), 'utf8'))
const folder = join(cache, 'archives')

/** The mirror of Debian that the machine's own lists name. */
function mirror() {
  const lines = run('apt-get', ['indextargets', '--format', '$(ORIGIN)|$(LABEL)|$(SITE)', 'Created-By: Packages']).split('\n')
  const site = lines.map((line) => line.split('|')).find(([origin, label]) => origin === 'Debian' && label === 'Debian')?.[2]
  return site ?? fail('the lists of this machine (apt-get update) name no mirror of Debian: name a folder of archives with --sources')
}

const updated = new Set()

/** Has apt fetch from one release of Debian, with lists of its own: those of the machine stay as they are. */
function fromDebian(release, file) {
  const place = join(cache, 'apt', release)
  const lists = join(place, 'lists')
  mkdirSync(join(lists, 'partial'), { recursive: true })
  const settings = [
    `Dir::Etc::sourcelist=${place}/sources.list`,
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::State::lists=${lists}`,
    `Dir::State::status=${place}/status`,
    `Dir::Cache=${place}`,
    'APT::Architectures::=amd64',
    'APT::Architectures::=arm64',
  ]
  const apt = (...args) => run('apt-get', [...settings.flatMap((one) => ['-o', one]), ...args], { cwd: folder })
  const source = /^(?<name>[^_]+)_(?<version>.+)\.orig\.tar\.\w+$/.exec(file)?.groups
  const deb = /^(?<name>[^_]+)_(?<version>[^_]+)_(?<architecture>[^_]+)\.deb$/.exec(file)?.groups
  if (!updated.has(release)) {
    writeFileSync(join(place, 'status'), '')
    const site = mirror()
    writeFileSync(
      join(place, 'sources.list'),
      ['deb [arch=amd64,arm64]', 'deb-src'].map((kind) => `${kind} ${site} ${release} main\n`).join(''),
    )
    apt('update')
    updated.add(release)
  }
  if (deb) {
    const architecture = deb.architecture === 'all' ? '' : `:${deb.architecture}`
    apt('download', `${deb.name}${architecture}=${decodeURIComponent(deb.version)}`)
  } else {
    // Of a source the packaging's revision is not in the archive's name: the newest of that version will do.
    apt('source', '--download-only', source.name)
    for (const name of readdirSync(folder)) if (/\.(dsc|debian\.tar\.\w+)$/.test(name)) rmSync(join(folder, name))
  }
}

/** npm names a package's archive by its scope, name and version. */
function fromNpm(file, name) {
  const npm = /npm-cli\.js$/.test(process.env.npm_execpath ?? '') ? [process.execPath, process.env.npm_execpath] : ['npm']
  run(npm[0], [...npm.slice(1), 'pack', '--loglevel=error', '--pack-destination', folder, name])
  if (!existsSync(join(folder, file))) fail(`npm pack ${name} was expected to leave ${file}`)
}

let sources
/** The folder in which archives are looked for before they are fetched. */
export function setSources(path) {
  sources = path
}

/** The path of an archive, its checksum tested. `npm` is the package's name and version, where it is one of npm. */
export function archive(file, npm) {
  const release = Object.keys(listed).find((one) => file in listed[one]) ?? fail(`${file} is not listed in scripts/binaries/archives.json`)
  mkdirSync(folder, { recursive: true })
  const given = sources && join(sources, file)
  const path = given && existsSync(given) ? given : join(folder, file)
  if (!existsSync(path)) {
    say(`fetching ${file}`)
    if (npm) fromNpm(file, npm)
    else if (found('apt-get')) fromDebian(release, file)
    if (!existsSync(path)) fail(`${file} could not be had: put it into a folder and name that with --sources`)
  }
  const got = createHash('sha256').update(readFileSync(path)).digest('hex')
  const expected = listed[release][file]
  return got === expected ? path : fail(`${path}: expected SHA-256 ${expected}, got ${got}`)
}

/** The archives of one release whose names match. */
export const archivesOf = (release, pattern) =>
  Object.keys(listed[release])
    .filter((name) => pattern.test(name))
    .map((name) => archive(name))

/** Makes a folder of the cache once: `make` fills one beside it, which takes its name when whole. */
export function made(name, make) {
  const path = join(cache, name)
  if (existsSync(path)) return path
  const fresh = `${path}.new`
  rmSync(fresh, { recursive: true, force: true })
  mkdirSync(fresh, { recursive: true })
  make(fresh)
  renameSync(fresh, path)
  return path
}
