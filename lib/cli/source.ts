/** Where a command's rows come from and go to: files, and pipes in their place. */

import { accessSync, constants, statSync } from 'node:fs'
import { freemem, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { constrainedMemory } from 'node:process'
import type { StreamTableOptions, TableSource } from '../index.js'
import { type Flag, type Given, Misuse } from './arguments.js'

/** The flags of reading. */
export const readFlags: Readonly<Record<string, Flag>> = {
  format: { value: 'csv|jsonl', says: 'of what is read; told by its name and beginning otherwise' },
  delimiter: { value: 'character', says: 'between fields; found otherwise' },
  json: { says: 'one line of JSON on stdout' },
  help: { says: 'this' },
}

/** The source that a path names; `-`, or none where stdin is a pipe, is stdin. */
export function sourceOf(path: string | undefined): TableSource {
  if (path !== undefined && path !== '-') return path
  if (path === undefined && process.stdin.isTTY) throw new Misuse('which file? Give a path, or - for stdin')
  return process.stdin
}

/** How it is read. */
export function formatOf(flags: Given): Pick<StreamTableOptions, 'format' | 'delimiter'> {
  const [format, delimiter] = [flags.text('format'), flags.text('delimiter')]
  if (format !== undefined && format !== 'csv' && format !== 'jsonl')
    throw new Misuse(`--format is csv or jsonl, and got '${format.slice(0, 40)}'`)
  return { ...(format && { format }), ...(delimiter && { delimiter: delimiter === '\\t' ? '\t' : delimiter }) }
}

/** Refuses a path that cannot be written to, before there is anything to write. */
export function checkWritable(flag: string, path: string): void {
  const folder = dirname(path)
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw new Misuse(`--${flag} ${path}: there is no folder ${folder}`)
  const there = statSync(path, { throwIfNoEntry: false })
  if (there?.isDirectory()) throw new Misuse(`--${flag} ${path}: that is a folder; name a file`)
  try {
    accessSync(there ? path : folder, constants.W_OK)
  } catch {
    throw new Misuse(`--${flag} ${path}: ${there ? 'the file' : `the folder ${folder}`} may not be written to`)
  }
}

/** The bytes that this process may take: the control group's, or the machine's. */
export function memoryLimit(): number {
  const limit = constrainedMemory?.() ?? 0
  return limit > 0 && limit < totalmem() ? limit : freemem() + process.memoryUsage().rss
}

/** The size of a file, where the source is one. */
export function sizeOf(path: string | undefined): number | undefined {
  try {
    return path === undefined || path === '-' ? undefined : statSync(path).size
  } catch {
    return undefined
  }
}

/** Writes to stdout; waits where the reader is slow, fails where it has gone. */
export function written(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
  })
}
