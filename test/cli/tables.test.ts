/** The commands over tables as a user runs them: files and pipes, choices said, mistakes answered, exit codes. */

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { loadModel, readTable } from '../../lib/index.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
// As compiled: it imports the package by its name.
const compiled = join(root, 'dist/examples/churn-data.js')
const { csvLines, customers } = (await import(/* @vite-ignore */ compiled)) as typeof import('../../examples/churn-data.js')
mkdirSync(join(root, '.cache'), { recursive: true })
const folder = mkdtempSync(join(root, '.cache', 'cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string) => join(folder, name)

/** Runs the command as installed; `input` goes to its stdin. */
function wengert(args: readonly string[], input?: string, node: readonly string[] = []) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=WENGERT_JS', ...node, join(root, 'dist/lib/cli/main.js'), ...args],
    { cwd: folder, encoding: 'utf8', ...(input !== undefined && { input }) },
  )
  return { status, stdout, stderr }
}

const all = [...customers(3000)]
const csv = (records: readonly (typeof all)[0][]) => [...csvLines(records)].join('')

beforeAll(() => {
  writeFileSync(at('churn.csv'), csv(all))
  writeFileSync(at('new.csv'), csv(all.slice(0, 5).map(({ churned: _, refund_paid: __, ...rest }) => rest)))
})

describe('train', () => {
  const quick = ['--epochs', '12', '--hidden', '16', '--rate', '0.003']
  const ran = () => wengert(['train', 'churn.csv', '--target', 'churned', '--eject', 'train.ts', ...quick])
  let first: ReturnType<typeof ran>
  beforeAll(() => {
    first = ran()
  }, 120_000)

  test('says what it found and chose, each with its flag', () => {
    expect(first.stderr).toBe('')
    expect(first.status).toBe(0)
    for (const line of [
      /^rows +3,000 of 13 columns from churn\.csv/m,
      /^warning +refund_paid alone says (98|99|100) % of the target.*\[--keep refund_paid\]$/m,
      /^target +churned: 2 classes: no, yes +\[--target, --task\]$/m,
      /^split +2,100 to train, 450 to stop by, 450 held out; at random, classes in proportion/m,
      /^column +customer_id: left out, an identifier/m,
      /^column +joined: date/m,
      /^weights .*\[--no-weigh\]$/m,
      /^network .*16 → 2.*\[--hidden, --dropout\]$/m,
      /^trained .*\[--epochs, --patience\]$/m,
      /^calibrated +temperature .*\[--no-calibrate\]$/m,
      /^threshold .*\[--threshold\]$/m,
      /^most useful: /m,
      /^wrote churn\.wengert, churn\.html, train\.ts$/m,
    ])
      expect(first.stdout).toMatch(line)
  })

  test('learns more than the baseline says', () => {
    const auc = (name: string) => Number(new RegExp(`^${name} +([\\d.]+)`, 'm').exec(first.stdout)?.[1])
    expect(auc('network')).toBeGreaterThan(0.75)
    expect(auc('the shares')).toBe(0.5)
  })

  test('the page stands alone, with importance and dependence', () => {
    const page = readFileSync(at('churn.html'), 'utf8')
    expect(page).toContain('What the model goes by')
    // Whose decision it was, and how to change it.
    expect(page).toMatch(/refund_paid +left out: it alone says \d+ % of the target; wengert train left it out, --keep refund_paid keeps it/)
    expect(readFileSync(at('train.ts'), 'utf8')).toMatch(/refund_paid: ignore\(\{ reason: 'it alone says \d+ % of the target; /)
    expect(page).toContain('Probability of yes by ')
    expect(page).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/)
  })

  /** Runs an ejected program in this process, on the library's sources; where it saves its model. */
  async function runEjected(name: string, source: string, out: string): Promise<string> {
    const again = `${name}-again.wengert`
    const program = readFileSync(at(`${name}.ts`), 'utf8').replace("from 'wengert'", "from '../../lib/index.js'")
    const path = (file: string) => `'${at(file).replaceAll('\\', '/')}'`
    writeFileSync(at(`${name}-ejected.ts`), program.replace(`'${source}'`, path(source)).replace(`'${out}'`, path(again)))
    const log = vi.spyOn(console, 'log').mockImplementation(() => undefined)
    const argv = process.argv
    process.argv = argv.slice(0, 2)
    try {
      await import(/* @vite-ignore */ at(`${name}-ejected.ts`))
    } finally {
      process.argv = argv
      log.mockRestore()
    }
    return again
  }

  test('the program that it writes does the same, bit for bit', async () => {
    const again = await runEjected('train', 'churn.csv', 'churn.wengert')
    const [a, b] = await Promise.all([loadModel(at('churn.wengert')), loadModel(at(again))])
    const rows = await readTable(at('new.csv'))
    expect(b.threshold).toBe(a.threshold)
    expect(b.predictRecords(rows)).toEqual(a.predictRecords(rows))
  }, 60_000)

  const also: [name: string, set: string, target: string, flags: string[]][] = [
    ['iris', 'iris.csv', 'species', []],
    ['diabetes', 'diabetes.csv', 'progression', ['--log-target', '--ignore', 'sex', '--folds', '2']],
    [
      'telling',
      'churn.csv',
      'churned',
      ['--threshold', '0.3', '--no-calibrate', '--no-weigh', '--sample', '1500', '--kind', 'age=category'],
    ],
    [
      'timed',
      'churn.csv',
      'churned',
      ['--time', 'joined', '--threshold', '1:8', '--dropout', '0', '--folds', '2', '--keep', 'refund_paid'],
    ],
    ['grouped', 'churn.csv', 'churned,newsletter', ['--groups', 'city', '--ignore', 'refund_paid,customer_id']],
  ]
  test.each(also)(
    'and so with other sets and flags: %s',
    async (name, set, target, flags) => {
      if (set !== 'churn.csv') writeFileSync(at(set), readFileSync(join(root, 'examples/data', set)))
      const out = `${name}.wengert`
      const quickest = ['--epochs', '3', '--rate', '0.01', '--report', 'none', '--out', out, '--eject', `${name}.ts`]
      const { status, stderr } = wengert(['train', set, '--target', target, ...flags, ...quickest])
      expect([status, stderr]).toEqual([0, ''])
      const again = await runEjected(name, set, out)
      const [a, b] = await Promise.all([loadModel(at(out)), loadModel(at(again))])
      expect([b.threshold, b.temperature]).toEqual([a.threshold, a.temperature])
      // Whole records: columns that were left out, by the flag or as leaks, may be there.
      const rows = (await readTable(at(set))).head(40)
      expect(b.predictRecords(rows)).toEqual(a.predictRecords(rows))
    },
    60_000,
  )

  test('the program that it writes is strict TypeScript', () => {
    const config = {
      extends: '../../tsconfig.json',
      compilerOptions: { noEmit: true, rootDir: root, declaration: false },
      include: ['train.ts', ...also.map(([name]) => `${name}.ts`)],
    }
    writeFileSync(at('tsconfig.json'), JSON.stringify(config))
    const { stdout } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], {
      encoding: 'utf8',
      cwd: folder,
    })
    expect(stdout.split('\n').filter((line) => /^\w+\.ts\(/.test(line) && !line.includes('-ejected'))).toEqual([])
  }, 60_000)

  test('--json: one line on stdout, what is said on stderr', () => {
    const { status, stdout, stderr } = wengert([
      'train',
      'churn.csv',
      '--target',
      'churned',
      '--json',
      '--report',
      'none',
      '--out',
      'j.wengert',
      ...quick,
    ])
    expect(status).toBe(0)
    const result = JSON.parse(stdout)
    expect(stdout.trimEnd().split('\n').length).toBe(1)
    expect(stderr).toMatch(/^target/m)
    expect(result.rows).toEqual({ train: 2100, validation: 450, test: 450 })
    expect(result.leaks).toEqual(['refund_paid'])
    expect(result.scores.rocAuc).toBeGreaterThan(0.75)
    expect(result.files).toEqual(['j.wengert'])
  }, 60_000)

  test('by time: an unseen category in the future is answered', () => {
    const { status, stdout } = wengert([
      'train',
      'churn.csv',
      '--target',
      'churned',
      '--time',
      'joined',
      '--report',
      'none',
      '--out',
      't.wengert',
      ...quick,
    ])
    expect(status).toBe(0)
    expect(stdout).toContain('by time (joined)')
    expect(stdout).toContain('plan: category, one feature for each of 3, missing')
  }, 60_000)

  test('a number, by folds', () => {
    writeFileSync(
      at('price.csv'),
      `size,rooms,price\n${Array.from({ length: 400 }, (_, i) => `${20 + (i % 90)},${1 + (i % 5)},${Math.round(Math.exp(6 + ((20 + (i % 90)) * (1 + (i % 5))) / 120))}`).join('\n')}\n`,
    )
    const { status, stdout } = wengert(['train', 'price.csv', '--target', 'price', '--folds', '3', '--report', 'none', ...quick])
    expect(status).toBe(0)
    expect(stdout).toContain('a number, logarithm, standardised')
    expect(stdout).toMatch(/^3 folds: rmse [\d.]+ ± [\d.]+, mae /m)
    expect(stdout).toMatch(/^the mean/m)
  }, 60_000)
})

describe('predict, evaluate, inspect', () => {
  test('rows in, rows with predictions out', async () => {
    const { status, stdout, stderr } = wengert(['predict', 'churn.wengert', 'new.csv'])
    expect([status, stderr]).toEqual([0, ''])
    const lines = stdout.trimEnd().split('\n')
    expect(lines[0]).toBe(
      `${Object.keys(all[0] as object)
        .filter((name) => name !== 'churned' && name !== 'refund_paid')
        .join(',')},churned,probability`,
    )
    expect(lines.length).toBe(6)
    const model = await loadModel(at('churn.wengert'))
    const answers = model.predictRecords(await readTable(at('new.csv')))
    expect(lines.slice(1).map((line) => line.split(',').at(-2))).toEqual(answers.map(({ churned }) => churned))
  })

  test('pipes and JSON lines', () => {
    const records = all.slice(0, 3).map(({ churned: _, refund_paid: __, ...rest }) => rest)
    const { status, stdout } = wengert(
      ['predict', 'churn.wengert', '-', '--output', 'jsonl', '--probabilities'],
      records.map((r) => JSON.stringify(r)).join('\n'),
    )
    expect(status).toBe(0)
    const answers = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(answers.length).toBe(3)
    expect(answers[0]['probability yes'] + answers[0]['probability no']).toBeCloseTo(1, 9)
    expect(answers[0].customer_id).toBe('C-100000')
    const only = wengert(['predict', 'churn.wengert', '--only'], csv(all.slice(0, 2).map((row) => ({ ...row, note: 'new' }))))
    expect(only.stdout.split('\n')[0]).toBe('churned,probability')
    expect(only.stderr).toBe('columns that the model does not know pass through: note\n')
  })

  test('a reader that has seen enough ends it quietly', async () => {
    const lines = csv(all.map(({ churned: _, refund_paid: __, ...rest }) => rest) as unknown as typeof all)
    const [head = '', ...body] = lines.split('\n')
    writeFileSync(at('long.csv'), [head, ...Array.from({ length: 20 }, () => body.filter(Boolean)).flat()].join('\n'))
    const child = spawn(
      process.execPath,
      ['--disable-warning=WENGERT_JS', join(root, 'dist/lib/cli/main.js'), 'predict', 'churn.wengert', 'long.csv'],
      {
        cwd: folder,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    let said = ''
    child.stderr.on('data', (text) => {
      said += text
    })
    child.stdout.once('data', () => child.stdout.destroy())
    const code = await new Promise((resolve) => child.once('close', resolve))
    expect([code, said]).toEqual([0, ''])
  }, 60_000)

  test('evaluate', () => {
    writeFileSync(at('held-out.csv'), csv([...customers(500, { seed: 7, leak: false })]))
    const { status, stdout } = wengert(['evaluate', 'churn.wengert', 'held-out.csv', '--json'])
    expect(status).toBe(0)
    const scores = JSON.parse(stdout)
    expect(scores.rows).toBe(500)
    expect(scores.rocAuc).toBeGreaterThan(0.65)
    expect(wengert(['evaluate', 'churn.wengert', 'held-out.csv']).stdout).toMatch(/true \\ predicted +no +yes/)
  })

  test('inspect', () => {
    const { stdout } = wengert(['inspect', 'churn.wengert'])
    expect(stdout).toMatch(/^joined +date/m)
    expect(stdout).toContain('threshold')
    expect(JSON.parse(wengert(['inspect', 'churn.wengert', '--json']).stdout)).toMatchObject({
      task: 'classes',
      target: ['churned'],
      classes: ['no', 'yes'],
    })
  })
})

describe('mistakes are answered, with their exit codes', () => {
  const write = (name: string, text: string): string => {
    writeFileSync(at(name), text)
    return name
  }
  const cases: [name: string, args: () => string[], code: number, says: RegExp][] = [
    ['no target', () => ['train', 'churn.csv'], 64, /--target <column>/],
    [
      'a misspelled target',
      () => ['train', 'churn.csv', '--target', 'churnd'],
      64,
      /there is no column 'churnd'; did you mean 'churned'\?/,
    ],
    ['a misspelled flag', () => ['train', 'churn.csv', '--traget', 'churned'], 64, /there is no flag --traget; did you mean --target\?/],
    ['a bad number', () => ['train', 'churn.csv', '--target', 'churned', '--epochs', 'many'], 64, /--epochs takes an integer/],
    ['a bad kind', () => ['train', 'churn.csv', '--target', 'churned', '--kind', 'plan=colour'], 64, /--kind takes column=kind/],
    ['three rows', () => ['train', write('three.csv', 'a,b\n1,x\n2,y\n3,x\n'), '--target', 'b'], 1, /3 rows with a target are too few/],
    [
      'one class',
      () => ['train', write('one.csv', `a,b\n${'1,x\n2,x\n'.repeat(30)}`), '--target', 'b'],
      1,
      /only the class 'x'; there is nothing to tell apart/,
    ],
    [
      'text as a number',
      () => ['train', 'churn.csv', '--target', 'churned', '--kind', 'plan=number'],
      1,
      /column 'plan': expected a number, got '/,
    ],
    [
      'a stray text in a target of numbers',
      () => [
        'train',
        write('stray.csv', `a,b\n${Array.from({ length: 60 }, (_, i) => `${i % 7},${i === 40 ? 'n/k' : i / 10}`).join('\n')}\n`),
        '--target',
        'b',
      ],
      1,
      /the target 'b' holds numbers, and 'n\/k' in row 42/,
    ],
    [
      'a target of free text',
      () => ['train', 'churn.csv', '--target', 'last_ticket'],
      1,
      /different texts in \d+ rows: an identifier or free text cannot be predicted/,
    ],
    ['no file', () => ['train', 'nowhere.csv', '--target', 'a'], 1, /there is no such file/],
    ['ragged rows', () => ['train', write('ragged.csv', 'a,b\n1,2\n3\n'), '--target', 'b'], 1, /as many fields as in the first line/],
    [
      'a time in a form that is not clear',
      () => ['train', write('unclear.csv', `day,y\n${'01/02/2024,a\n02/03/2024,b\n'.repeat(20)}`), '--target', 'y', '--time', 'day'],
      64,
      /--time takes .* got 'day', which holds text \(dates, and DD\/MM\/YYYY and MM\/DD\/YYYY .*--kind day=date:DD\/MM\/YYYY/,
    ],
    ['a time that is text', () => ['train', 'churn.csv', '--target', 'churned', '--time', 'plan'], 64, /holds text/],
    [
      'a folder that is not there',
      () => ['train', 'churn.csv', '--target', 'churned', '--out', 'nowhere/a.wengert'],
      64,
      /no folder nowhere/,
    ],
    ['a folder for the program', () => ['train', 'churn.csv', '--target', 'churned', '--eject', 'nowhere/a.ts'], 64, /no folder nowhere/],
    ['a folder as the model', () => ['train', 'churn.csv', '--target', 'churned', '--out', '.'], 64, /that is a folder; name a file/],
    ['groups of the target', () => ['train', 'churn.csv', '--target', 'churned', '--groups', 'churned'], 64, /that is the target/],
    [
      'a kind that no target has',
      () => ['train', 'churn.csv', '--target', 'churned', '--kind', 'churned=text'],
      64,
      /--kind churned=text: the target is what --task says/,
    ],
    ['a target of dates', () => ['train', 'churn.csv', '--target', 'joined'], 1, /the target 'joined' holds dates/],
    [
      'several targets of texts',
      () => ['train', 'churn.csv', '--target', 'plan,churned'],
      1,
      /several targets are numbers, or truth values that are a label each; 'plan' holds '/,
    ],
    [
      'nothing left',
      () => ['train', write('two.csv', `a,b\n${'1,x\n2,y\n'.repeat(30)}`), '--target', 'b', '--ignore', 'a'],
      1,
      /no column beside the target says anything/,
    ],
    ['no rows to answer', () => ['predict', 'churn.wengert', write('head.csv', 'plan,joined\n')], 1, /the source has no rows/],
    ['no model', () => ['predict'], 64, /which model\?/],
    ['a model that is none', () => ['predict', 'churn.csv', 'new.csv'], 1, /of another format/],
    [
      'the target among what is left out',
      () => ['train', 'churn.csv', '--target', 'churned', '--ignore', 'churned'],
      64,
      /--ignore leaves out the target 'churned'/,
    ],
    ['rows without a column', () => ['predict', 'churn.wengert', write('less.csv', 'plan\npro\n')], 1, /the column 'joined' is missing/],
    ['no target to score', () => ['evaluate', 'churn.wengert', 'new.csv'], 64, /have no column 'churned'/],
    ['an unknown command', () => ['tarin'], 64, /unknown command/],
  ]
  test.each(cases)('%s', (_name, args, code, says) => {
    const { status, stderr } = wengert(args())
    expect(stderr).toMatch(says)
    expect(stderr).not.toMatch(/\n\s+at /)
    expect(status).toBe(code)
  })

  test('help of each', () => {
    for (const name of ['train', 'evaluate', 'predict', 'inspect']) {
      const { status, stdout } = wengert([name, '--help'])
      expect([status, stdout.startsWith(`Usage: wengert ${name}`)]).toEqual([0, true])
    }
    expect(existsSync(at('.wengert'))).toBe(false)
  })
})
