/** Files that are whole or not there: written beside their place, flushed, renamed into it, the folder flushed. */

import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
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
  const { code, message } = error as NodeJS.ErrnoException
  const hint = code === 'ENOENT' ? 'there is no such file or folder' : (message ?? String(error))
  return new WengertError('ERR_FILE', `${where}: expected to open ${path}, got ${code ?? 'a failure'}: ${hint}`, {
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

/**
 * Writes the parts, one after the other, as the file `path`: whoever reads it finds all of them or what was there before,
 * whenever the process or the machine stops. The parts must not change until it is done.
 *
 * @param options.at called after each stage, awaited; what it throws undoes the write (before the rename)
 * @throws (rejects) ERR_FILE; the temporary file is removed
 */
export async function writeAtomic(
  path: string,
  parts: readonly Uint8Array[],
  options: { where?: string; at?: (stage: WriteStage) => void | Promise<void> } = {},
): Promise<void> {
  const { where = 'writeAtomic', at } = options
  checkPath(where, path)
  const folder = dirname(path)
  const [a = 0, b = 0] = crypto.getRandomValues(new Uint32Array(2))
  const temporary = join(folder, `.${basename(path)}.${process.pid}.${a.toString(36)}${b.toString(36)}.tmp`)
  let file: FileHandle | undefined
  let renamed = false
  try {
    file = await open(temporary, 'wx')
    await at?.('opened')
    for (const part of parts) {
      for (let done = 0; done < part.byteLength; ) done += (await file.write(part, done, part.byteLength - done)).bytesWritten
    }
    await at?.('written')
    await file.sync()
    await file.close()
    file = undefined
    await at?.('flushed')
    await rename(temporary, path)
    renamed = true
    await at?.('renamed')
    await flushFolder(folder)
  } catch (error) {
    await file?.close().catch(() => undefined)
    if (!renamed) await unlink(temporary).catch(() => undefined)
    throw fileError(where, path, error)
  }
}
