/** What is used of Node's buffers, under a name of the library's own: its declarations then need no types of Node. */
export interface Bytes extends Uint8Array {
  toString(encoding?: 'utf8' | 'latin1', start?: number, end?: number): string
  copy(target: Uint8Array, targetStart?: number, start?: number, end?: number): number
  write(text: string, at?: number): number
}
