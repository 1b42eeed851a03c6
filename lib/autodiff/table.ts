/** Tables as aligned text: accents take no room of their own. */

/** The columns that a text takes in a terminal. */
export const widthOf = (text: string): number => [...text.normalize('NFC')].filter((c) => !/\p{M}/u.test(c)).length

/** Rows of cells, padded to columns; `header` is underlined. */
export function alignedTable(rows: readonly (readonly string[])[], header?: readonly string[]): string {
  const all = header ? [header, ...rows] : rows
  const widths = (all[0] ?? []).map((_, col) => all.reduce((w, row) => Math.max(w, widthOf(row[col] ?? '')), 0))
  const line = (row: readonly string[]) =>
    row
      .map((cell, col) => cell + ' '.repeat((widths[col] as number) - widthOf(cell)))
      .join('   ')
      .trimEnd()
  const body = rows.map(line)
  return (header ? [line(header), widths.map((w) => '─'.repeat(w)).join('   '), ...body] : body).join('\n')
}
