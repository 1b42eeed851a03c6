/** Whole files into memory, with coded errors. */

import { readFile } from 'node:fs/promises'
import { checkPath, fileError } from './atomic.js'

/** The bytes of a file, once: the caller's decoder copies what it keeps. Errors: ERR_FILE, ERR_VALUE. */
export async function readBytes(where: string, path: unknown): Promise<Uint8Array> {
  const checked = checkPath(where, path)
  try {
    return await readFile(checked)
  } catch (error) {
    throw fileError(where, checked, error)
  }
}

/** Runs a decoder; its errors name the file. */
export function naming<T>(path: string, decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    if (error instanceof Error) error.message += ` (in ${path})`
    throw error
  }
}
