/**
 * The documents' code runs: every ```ts block of README.md and docs/*.md is type-checked and run by itself against lib/. What it logs must
 * be what its `// → …` comments say, in order, or the ```text block right after it. A block marked ```ts no-run is only type-checked.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { format } from 'node:util'
import { afterAll, describe, expect, test, vi } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, '.cache', `docs-${process.pid}`)

interface Block {
  name: string
  line: number
  mark: string
  code: string
  /** What it must log: from a text block, else from arrows. */
  expected: string[] | undefined
}

function blocksOf(file: string, text: string): Block[] {
  const fences = /^```ts *([\w-]*)\n([\s\S]*?)^```\n(?:\n*^```text\n([\s\S]*?)^```)?/gm
  return [...text.matchAll(fences)].map((match) => {
    const [, mark = '', code = '', output] = match
    const line = text.slice(0, match.index).split('\n').length
    const arrows = [...code.matchAll(/\/\/ → (.*)$/gm)].map((arrow) => (arrow[1] as string).trim())
    const expected = output === undefined ? (arrows.length > 0 ? arrows : undefined) : output.trimEnd().split('\n')
    return { name: `${file}:${line}`, line, mark, code, expected }
  })
}

/** Engines differ in the last digits of a float64, and so in the width of a column. */
const comparable = (line: string): string =>
  line
    .replaceAll(/\d+\.\d{10,}/g, (number) => String(Number(Number(number).toPrecision(12))))
    .replaceAll(/ {2,}/g, '  ')
    .replaceAll(/─+/g, '─')
    .trimEnd()

const documents = ['README.md', ...readdirSync(join(root, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : []))]
const texts = new Map(documents.map((file) => [file, readFileSync(join(root, file), 'utf8')]))
const blocks = [...texts].flatMap(([file, text]) => blocksOf(file, text))
const place = (block: Block) => join(folder, `${block.name.replaceAll(/[^\w]/g, '-')}.ts`)

mkdirSync(folder, { recursive: true })
for (const block of blocks)
  if (block.mark !== 'fragment')
    writeFileSync(
      place(block),
      `${block.code.replaceAll("from 'wengert'", "from '../../lib/index.js'").replaceAll(/from 'wengert\/([\w/]+)'/g, "from '../../lib/$1.js'")}\nexport {}\n`,
    )
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each(documents)('%s', (file) => {
  const own = blocks.filter((block) => block.name.startsWith(`${file}:`))
  for (const block of own) {
    if (block.mark === 'no-run') {
      console.log(`skipped: ${block.name} is only type-checked: it needs what is not here`)
      continue
    }
    test(`the code at line ${block.line}`, async () => {
      const logged: string[] = []
      const log = vi.spyOn(console, 'log').mockImplementation((...args) => void logged.push(...format(...args).split('\n')))
      try {
        await import(/* @vite-ignore */ place(block))
      } finally {
        log.mockRestore()
      }
      if (block.expected) expect(logged.map(comparable)).toEqual(block.expected.map(comparable))
    })
  }

  test('links lead somewhere', () => {
    for (const [, link] of (texts.get(file) as string).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g))
      expect(existsSync(join(root, dirname(file), link as string)), link).toBe(true)
  })
})

/** Fences that this file does not run: by document and kind, what does instead. */
const elsewhere: Record<string, string> = {
  'docs/distributed.md js': 'programs that several processes run together; test/distributed runs such',
  'docs/distributed.md sh': 'commands that start several processes; test/distributed runs such',
  'docs/distributed.md yaml': 'jobs for clusters, which are not here',
  'docs/tables.md sh': 'commands over files of the reader; test/cli/tables.test.ts runs such',
  'docs/tables.md text': 'what a command printed; test/cli/tables.test.ts holds its form',
  'README.md js': 'test/readme.test.ts runs it',
  'README.md sh': 'it sets up a clone and changes a project of the reader; its npm scripts are checked to exist',
}

/** Opening fences: their lines and kinds. The text after a ts block is its output. */
function fencesOf(text: string): { line: number; kind: string; after: string | undefined }[] {
  const found: { line: number; kind: string; after: string | undefined }[] = []
  let open = false
  for (const [i, line] of text.split('\n').entries()) {
    if (!line.startsWith('```')) continue
    if (!open) found.push({ line: i + 1, kind: line.slice(3).trim(), after: found.at(-1)?.kind })
    open = !open
  }
  return found
}

test('no block of any document is left unrun without a reason', () => {
  const others = readdirSync(root).filter((name) => name.endsWith('.md') && !texts.has(name))
  const scripts = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts as Record<string, string>
  for (const file of [...documents, ...others]) {
    const text = texts.get(file) ?? readFileSync(join(root, file), 'utf8')
    const run = new Set(blocks.filter(({ name }) => name.startsWith(`${file}:`)).map(({ line }) => line))
    for (const { line, kind, after } of fencesOf(text)) {
      if (run.has(line) || (kind === 'text' && after?.startsWith('ts'))) continue
      const reason = elsewhere[`${file} ${kind}`]
      expect(reason, `${file}:${line}: a block of '${kind}' that nothing runs`).toBeDefined()
      console.log(`not run here: ${file}:${line}: ${reason}`)
    }
    for (const [, name] of text.matchAll(/\bnpm run ([\w:]+)/g)) expect(scripts, file).toHaveProperty([name as string])
  }
  expect(fencesOf('a\n```sh\nls\n```\n```\nb\n```\n')).toEqual([
    { line: 2, kind: 'sh', after: undefined },
    { line: 5, kind: '', after: 'sh' },
  ])
})

test('the code of all documents has no type error', () => {
  const config = {
    extends: '../../tsconfig.json',
    compilerOptions: { noEmit: true, noUnusedLocals: false, rootDir: root, declaration: false },
    include: ['*.ts'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const { stdout } = spawnSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder], {
    encoding: 'utf8',
    cwd: folder,
  })
  // Errors elsewhere are the type check's own business.
  expect(stdout.split('\n').filter((line) => /^[\w-]+\.ts\(/.test(line))).toEqual([])
})

test('the quick start is TypeScript too, under strict options', () => {
  const [, code] = /^```js\n([\s\S]*?)^```/m.exec(texts.get('README.md') as string) as RegExpExecArray
  const strict = join(folder, 'strict')
  mkdirSync(strict, { recursive: true })
  writeFileSync(join(strict, 'quick-start.ts'), (code as string).replaceAll("from 'wengert'", "from '../../../lib/index.js'"))
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    target: 'es2023',
    module: 'nodenext',
    types: ['node'],
    skipLibCheck: true,
  }
  writeFileSync(join(strict, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', strict], { encoding: 'utf8', cwd: root })
  expect(stdout.split('\n').filter((line) => line.includes('quick-start.ts'))).toEqual([])
})

test('code and output are told apart', () => {
  const sample = 'x\n```ts\nconsole.log(1) // → 1\n```\n\n```ts no-run\na\n```\n\n```ts\nb\n```\n```text\nout\nput\n```\n'
  expect(blocksOf('f', sample).map(({ line, mark, expected }) => [line, mark, expected])).toEqual([
    [2, '', ['1']],
    [6, 'no-run', undefined],
    [10, '', ['out', 'put']],
  ])
})
