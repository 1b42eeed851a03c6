/** The columns of a table: what kind each is, what its cells mean, and how they become features and targets. */

import { type Decimal, type Field, parseNumber } from '../data/records.js'
import { WengertError } from '../errors.js'
import { describe, listed, nearest, short } from '../util/options.js'

/** What a column of a CSV file is read as. */
export type ColumnType = 'number' | 'category' | 'ignore'
/** What becomes of missing values. */
export type MissingPolicy = 'refuse' | 'drop' | 'mean'

export interface ColumnRules {
  where: string
  missing: MissingPolicy
  missingValues: ReadonlySet<string>
  decimal: Decimal
  maxCategories: number
}

/** What the rows read so far tell of a column. */
export interface SeenColumn {
  kind: 'number' | 'category' | undefined
  /** Of the first value. */
  line: number
  /** In their order of appearance. */
  categories: string[]
  sum: number
  count: number
  gaps: boolean
}

/** One column while a table is read. The kind is as given, or that of the first cell; cells of the other kind are refused. */
export class Column {
  kind: 'number' | 'category' | undefined
  /** Places of the categories in their order of appearance. */
  readonly categories = new Map<string, number>()
  #given: boolean
  #closed = false
  #firstLine = 0
  #sum = 0
  #count = 0
  /** Whether a value was missing somewhere: only then may a record leave it out. */
  #gaps = false

  constructor(
    readonly name: string,
    readonly position: number,
    readonly rules: ColumnRules,
    given?: 'number' | 'category',
  ) {
    this.kind = given
    this.#given = given !== undefined
  }

  /** A column of which all is known. */
  static of(field: Field, position: number, rules: ColumnRules): Column {
    const column = new Column(field.name, position, rules, field.kind)
    if (field.kind === 'category')
      field.categories.forEach((name, i) => {
        column.categories.set(name, i)
      })
    column.#closed = true
    column.#gaps = field.kind === 'number' ? field.mean !== undefined : field.optional === true
    return column
  }

  /** What this column has shown of itself. */
  get seen(): SeenColumn {
    const { kind, categories } = this
    return { kind, line: this.#firstLine, categories: [...categories.keys()], sum: this.#sum, count: this.#count, gaps: this.#gaps }
  }

  /** Goes on from rows that others have read before: what they found holds here. */
  follow({ kind, line, categories }: SeenColumn): void {
    if (this.#given || kind === undefined) return
    this.kind = kind
    this.#firstLine = line
    for (const name of categories) if (!this.categories.has(name)) this.categories.set(name, this.categories.size)
  }

  /** Takes over what all rows together have shown. */
  settle({ kind, categories, sum, count, gaps }: SeenColumn): void {
    this.kind = kind
    for (const name of categories) if (!this.categories.has(name)) this.categories.set(name, this.categories.size)
    this.#sum = sum
    this.#count = count
    this.#gaps = gaps
  }

  /** The cell's number or its category's place; NaN where it is missing. Errors: ERR_DATA, ERR_LABEL naming line and column. */
  value(cell: string, line: number): number {
    if (this.rules.missingValues.has(cell)) {
      if (this.#closed && !this.#gaps && this.rules.missing === 'mean') this.refuseMissing(line, cell)
      this.#gaps = true
      return Number.NaN
    }
    const known = this.kind === 'number' ? undefined : this.categories.get(cell)
    if (known !== undefined) return known
    const number = this.kind === 'category' && this.#given ? undefined : parseNumber(cell, this.rules.decimal)
    if (this.kind === undefined) {
      const other = this.rules.decimal === '.' ? ',' : '.'
      if (number === undefined && parseNumber(cell, other) !== undefined)
        throw this.refused(
          line,
          'a number or a name',
          cell,
          `; decimal: '${other}' reads it as a number, types: { ${JSON.stringify(short(this.name))}: 'category' } as a name`,
        )
      this.kind = number === undefined ? 'category' : 'number'
      this.#firstLine = line
    }
    if (this.kind === 'number') {
      if (number === undefined) throw this.refused(line, 'a number', cell, this.#hint('category'))
      this.#sum += number
      this.#count++
      return number
    }
    if (this.#closed)
      throw new WengertError(
        'ERR_LABEL',
        `${this.#at(line)}: expected one of ${listed([...this.categories.keys()])}, got ${describe(cell)}`,
        {
          expected: [...this.categories.keys()],
          actual: cell,
        },
      )
    if (number !== undefined) throw this.refused(line, 'a category', cell, this.#hint('category'))
    const place = this.categories.size
    if (place === this.rules.maxCategories) {
      throw this.refused(
        line,
        `at most ${place} categories`,
        cell,
        `: one more; types: { ${JSON.stringify(short(this.name))}: 'ignore' } leaves the column out, maxCategories raises the limit`,
      )
    }
    this.categories.set(cell, place)
    return place
  }

  /** Refuses a missing cell, where the policy says so. Errors: ERR_DATA. */
  refuseMissing(line: number, cell: string): never {
    throw this.refused(line, 'a value', cell === '' ? 'an empty field' : cell, `; missing: 'drop' leaves out such rows`, cell === '')
  }

  refused(line: number, expected: string, cell: string, hint: string, plain = false): WengertError {
    return new WengertError('ERR_DATA', `${this.#at(line)}: expected ${expected}, got ${plain ? cell : describe(cell)}${hint}`, {
      expected,
      actual: cell,
    })
  }

  #at(line: number): string {
    return `${this.rules.where}: line ${line}, column '${short(this.name)}'`
  }

  #hint(type: ColumnType): string {
    return this.#given
      ? ''
      : ` (line ${this.#firstLine} has a ${this.kind}); types: { ${JSON.stringify(short(this.name))}: '${type}' } reads all of it as categories`
  }

  /** Whether no cell had a value. */
  get empty(): boolean {
    return this.categories.size === 0 && this.#count === 0
  }

  /** The column as it will be encoded: categories in growing order, of numbers where all are numbers. */
  field(): Field {
    const { name, rules } = this
    const fill = rules.missing === 'mean' && this.#gaps
    const { decimal } = rules
    if (this.kind === 'number')
      return { name, kind: 'number', ...(fill && { mean: this.#sum / this.#count }), ...(decimal === ',' && { decimal }) }
    const names = [...this.categories.keys()]
    const numbers = new Map(names.map((text) => [text, parseNumber(text, decimal)]))
    const numeric = names.every((text) => numbers.get(text) !== undefined)
    const compare = numeric
      ? (a: string, b: string) => (numbers.get(a) as number) - (numbers.get(b) as number) || (a < b ? -1 : 1)
      : (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
    return { name, kind: 'category', categories: names.sort(compare), ...(fill && { optional: true }) }
  }
}

/** The position of a column by its name or number. Errors: ERR_OPTION for one that is not there. */
export function positionOf(
  where: string,
  what: string,
  column: unknown,
  names: readonly string[],
  places: ReadonlyMap<string, number>,
): number {
  const at = typeof column === 'number' ? (Number.isInteger(column) ? column : -1) : (places.get(String(column)) ?? -1)
  if (at < 0 || at >= names.length) {
    const near = typeof column === 'string' ? nearest(column, names) : undefined
    throw new WengertError(
      'ERR_OPTION',
      `${where}: expected ${what} to be one of ${listed(names, 20)}, got ${describe(column)}${near ? `; did you mean '${short(near)}'?` : ''}`,
      { expected: names, actual: column },
    )
  }
  return at
}
