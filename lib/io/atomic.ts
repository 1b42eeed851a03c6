/** Files that are whole or not there: written beside their place, flushed, renamed into it, the folder flushed. */

import { type FileHandle, open, readdir, readlink, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { WengertError } from '../errors.js'
import { describe } from '../util/options.js'

/** What has just been done: a crash after any of them leaves the old file or the new one, whole. */
export type WriteStage = 'opened' | 'written' | 'flushed' | 'renamed'

/** The path, if it is one. Errors: ERR_VALUE. */
export function checkPath(where: string, path: unknown): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw new WengertError('ERR_VALUE', `${where}: expected a path, got ${describe(path)}`, { expected: 'a path', actual: path })
  return path
}

/** A failure of the file system as a coded error that keeps its cause. */
export function fileError(where: string, path: string, error: unknown): WengertError {
  if (error instanceof WengertError) return error
  if (error instanceof RangeError)
    return new WengertError('ERR_MEMORY', `${where}: there is no room for ${path}: ${error.message}`, { cause: error })
  const { code, message } = error as NodeJS.ErrnoException
  const hint = code === 'ENOENT' ? 'there is no such file or folder' : (message ?? String(error))
  return new WengertError('ERR_FILE', `${where}: failed on ${path} (${code ?? 'a failure'}): ${hint}`, {
    actual: code,
    cause: error,
  })
}

/** Brings a rename to the disk. Some systems (Windows) cannot flush a folder; there it is left to them. */
async function flushFolder(path: string): Promise<void> {
  let folder: FileHandle | undefined
  try {
    folder = await open(path, 'r')
    await folder.sync()
  } catch (error) {
    if (!['EPERM', 'EACCES', 'EISDIR', 'EINVAL', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    await folder?.close()
  }
}

/** What is there already at a path: the file that links lead to, whose rights and owner a new version keeps. */
interface Place {
  path: string
  mode?: number
  uid?: number
  gid?: number
}

/** Where a file is to be, links followed: a link goes on pointing at it. Errors: ERR_FILE for a folder, a device, a pipe. */
async function placeOf(where: string, path: string): Promise<Place> {
  let target = path
  // A link may lead to a file that is not there yet: realpath knows only those that are.
  for (let links = 0; links < 40; links++) {
    const next = await readlink(target).catch(() => undefined)
    if (next === undefined) break
    target = resolve(dirname(target), next)
  }
  const found = await stat(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (found === undefined) return { path: target }
  if (!found.isFile()) {
    const kind = found.isDirectory() ? 'a folder' : 'a device, a pipe or a socket'
    throw new WengertError('ERR_FILE', `${where}: ${path} is ${kind}; a file is written beside its place and renamed into it`, {
      actual: kind,
    })
  }
  return { path: target, mode: found.mode & 0o777, uid: found.uid, gid: found.gid }
}

/** Gives a new file the rights and, where that is allowed, the owner of the one that it will replace. */
async function inherit(file: FileHandle, { mode, uid, gid }: Place): Promise<void> {
  if (mode === undefined || uid === undefined || gid === undefined || process.platform === 'win32') return
  const own = await file.stat()
  if (own.uid !== uid || own.gid !== gid) await file.chown(uid, gid).catch(() => undefined)
  await file.chmod(mode)
}

/** Tells machines (and containers) apart that write into one folder: the processes of another cannot be asked whether they live. */
let machine: string | undefined
function machineName(): string {
  if (machine === undefined) {
    let hash = 0x811c9dc5
    for (const byte of new TextEncoder().encode(process.getBuiltinModule('node:os').hostname())) hash = Math.imul(hash ^ byte, 0x01000193)
    machine = (hash >>> 0).toString(36)
  }
  return machine
}

/** How the names of a file's temporary ones begin; a name has a longest length, too. */
const temporaryPrefix = (path: string): string => `.${basename(path).slice(0, 50)}.`

const temporaryName = (path: string): string => {
  const [a = 0, b = 0] = crypto.getRandomValues(new Uint32Array(2))
  return `${temporaryPrefix(path)}${machineName()}-${process.pid}.${a.toString(36)}${b.toString(36)}.tmp`
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Files that some process of this run looked after already. */
const swept = new Set<string>()
const oneDay = 86_400_000

/**
 * Removes what killed writes of this file left beside it: those of processes of this machine that are gone, and any a day old.
 * Once a path, as it reads the folder; what fails is left.
 */
async function sweep(path: string): Promise<void> {
  if (swept.has(path)) return
  swept.add(path)
  const folder = dirname(path)
  const prefix = temporaryPrefix(path)
  const begun = Date.now() - process.uptime() * 1000
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(prefix) || !name.endsWith('.tmp')) continue
    const [, where, pid] = /^([a-z0-9]+)-(\d+)\.[a-z0-9]+\.tmp$/.exec(name.slice(prefix.length)) ?? []
    if (where === undefined) continue
    const file = join(folder, name)
    const changed = (await stat(file).catch(() => undefined))?.mtimeMs ?? Infinity
    const writer = Number(pid)
    const gone = where === machineName() && (writer === process.pid ? changed < begun - 1000 : !lives(writer))
    if (gone || changed < Date.now() - oneDay) await unlink(file).catch(() => undefined)
  }
}

/**
 * Finds out whether a file can be written at `path`, by making a temporary one beside it: before hours of work, rather than after.
 *
 * @throws (rejects) ERR_FILE
 */
export async function checkWritable(where: string, path: string): Promise<void> {
  checkPath(where, path)
  try {
    const { path: target } = await placeOf(where, path)
    const temporary = join(dirname(target), temporaryName(target))
    const file = await open(temporary, 'wx')
    await file.close()
    await unlink(temporary)
  } catch (error) {
    throw fileError(where, path, error)
  }
}

/**
 * Writes the parts, one after the other, as the file `path`: whoever reads it finds all of them or what was there before,
 * whenever the process or the machine stops. The parts must not change until it is done. A file that is replaced hands on
 * its rights, a link its place; what an earlier process left when it was killed is removed.
 *
 * @param options.at called after each stage, awaited; what it throws undoes the write (before the rename)
 * @throws (rejects) ERR_FILE, also for a path that is no file; the temporary file is removed
 */
export async function writeAtomic(
  path: string,
  parts: readonly Uint8Array[],
  options: { where?: string; at?: (stage: WriteStage) => void | Promise<void> } = {},
): Promise<void> {
  const { where = 'writeAtomic', at } = options
  checkPath(where, path)
  let file: FileHandle | undefined
  let temporary: string | undefined
  try {
    const place = await placeOf(where, path)
    const folder = dirname(place.path)
    await sweep(place.path)
    const beside = join(folder, temporaryName(place.path))
    // Nobody else's from the start: whoever opened it earlier could read what is written later.
    file = await open(beside, 'wx', place.mode === undefined ? 0o666 : 0o600)
    temporary = beside
    await inherit(file, place)
    await at?.('opened')
    for (const part of parts) {
      for (let done = 0; done < part.byteLength; ) done += (await file.write(part, done, part.byteLength - done)).bytesWritten
    }
    await at?.('written')
    await file.sync()
    await file.close()
    file = undefined
    await at?.('flushed')
    await rename(beside, place.path)
    temporary = undefined
    await at?.('renamed')
    await flushFolder(folder)
  } catch (error) {
    await file?.close().catch(() => undefined)
    if (temporary !== undefined) await unlink(temporary).catch(() => undefined)
    throw fileError(where, path, error)
  }
}
