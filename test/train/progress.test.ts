import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { EpochRecord } from '../../lib/train/history.js'
import { progress } from '../../lib/train/progress.js'

/** A stream that keeps what was written. */
function screen(isTTY: boolean, columns?: number) {
  const written: string[] = []
  return { written, isTTY, ...(columns === undefined ? {} : { columns }), write: (text: string) => written.push(text) }
}

const record = (epoch: number, seconds: number, rest: Partial<EpochRecord> = {}): EpochRecord => ({
  epoch,
  updates: epoch * 45,
  cost: 1 / epoch,
  learningRate: 0.1,
  seconds,
  ...rest,
})

// biome-ignore lint/suspicious/noControlCharactersInRegex: the control characters of a rewritten line
const control = /[\r\n]|\x1b\[K/g
const plainText = (text: string) => text.replace(control, '')

describe('progress', () => {
  beforeEach(() => {
    vi.stubEnv('CI', '')
    vi.stubEnv('TERM', 'xterm')
  })
  afterEach(() => {
    vi.unstubAllEnvs()
  })

  test('rewrites one line on a terminal and ends it after the last epoch', () => {
    const stream = screen(true, 200)
    const show = progress({ epochs: 4, title: 'MBSGD', stream })
    for (let epoch = 1; epoch <= 4; epoch++) show(record(epoch, epoch))
    expect(stream.written).toHaveLength(5)
    expect(stream.written.slice(0, 4).every((text) => text.startsWith('\r') && text.endsWith('\x1b[K'))).toBe(true)
    expect(stream.written[4]).toBe('\n')
    expect(plainText(stream.written[1] as string)).toBe('MBSGD  epoch 2/4 ━━━━━━━━━━──────────  cost 0.500  45 updates/s  2 s left')
    expect(plainText(stream.written[3] as string)).toBe('MBSGD  epoch 4/4 ━━━━━━━━━━━━━━━━━━━━  cost 0.250  45 updates/s  4.00 s')
  })

  test('shows the cost and the accuracy of the validation, else the accuracy of the training', () => {
    const stream = screen(true, 200)
    const show = progress({ epochs: 9, stream })
    show(record(1, 1, { accuracy: 0.5 }))
    show(record(2, 2, { accuracy: 0.5, validation: { cost: 0.092, accuracy: 0.975 } }))
    expect(plainText(stream.written[0] as string)).toBe('epoch 1/9 ━━──────────────────  cost 1.00  acc 50.0 %  8 s left')
    expect(plainText(stream.written[1] as string)).toContain('cost 0.500  val 0.0920  acc 97.5 %')
  })

  test('paints no more often than an eye follows, yet always the last epoch', () => {
    const stream = screen(true)
    const show = progress({ epochs: 1000, stream })
    for (let epoch = 1; epoch <= 1000; epoch++) show(record(epoch, epoch / 1000))
    const lines = stream.written.filter((text) => text !== '\n')
    expect(lines.length).toBeGreaterThan(5)
    expect(lines.length).toBeLessThanOrEqual(22)
    expect(lines[lines.length - 1]).toContain('1000/1000')
  })

  test.each([1, 10, 30, 40, 60])('fits into %i columns', (columns) => {
    const stream = screen(true, columns)
    progress({ epochs: 30, title: 'MBSGD  64→32→10', stream })(record(3, 1, { validation: { cost: 1, accuracy: 1 } }))
    const text = plainText(stream.written[0] as string)
    expect(text.length).toBeLessThan(columns)
    expect('MBSGD  64→32→10  epoch  1/30'.startsWith(text.slice(0, 27))).toBe(true)
  })

  test('writes a plain line at each quarter where there is no terminal', () => {
    const stream = screen(false)
    const show = progress({ epochs: 100, stream })
    for (let epoch = 1; epoch <= 100; epoch++) show(record(epoch, epoch / 100))
    expect(stream.written.map((text) => text.split('  ')[0])).toEqual(['epoch 25/100', 'epoch 50/100', 'epoch 75/100', 'epoch 100/100'])
    expect(stream.written.every((text) => text.endsWith('\n') && plainText(text).length === text.length - 1)).toBe(true)
  })

  test('writes a plain line now and then during a long quarter', () => {
    const stream = screen(false)
    const show = progress({ epochs: 80, stream })
    for (let epoch = 1; epoch <= 24; epoch++) show(record(epoch, epoch))
    expect(stream.written.map((text) => text.split('  ')[0])).toEqual(['epoch 10/80', 'epoch 20/80'])
    show(record(25, 31))
    expect(stream.written.map((text) => text.split('  ')[0])).toEqual(['epoch 10/80', 'epoch 20/80', 'epoch 25/80'])
  })

  test.each([
    ['CI', '1'],
    ['TERM', 'dumb'],
  ])('takes a terminal with %s=%s for none', (name, value) => {
    vi.stubEnv(name, value)
    const stream = screen(true)
    progress({ epochs: 1, stream })(record(1, 1))
    expect(stream.written).toEqual(['epoch 1/1  cost 1.00  1.00 s\n'])
  })

  test('end finishes the line of a fit that stopped early, once', () => {
    const stream = screen(true, 100)
    const show = progress({ epochs: 50, stream })
    show(record(1, 0.001))
    show(record(2, 0.002))
    show.end()
    show.end()
    expect(stream.written).toHaveLength(3)
    expect(stream.written[1]).toContain('epoch  2/50')
    expect(stream.written[2]).toBe('\n')
  })

  test('counts a further fit of the same trainer from its own start', () => {
    const stream = screen(false)
    const show = progress({ epochs: 2, stream })
    for (const epoch of [1, 2, 3, 4]) show(record(epoch, epoch % 2 ? 1 : 2))
    expect(stream.written.map((text) => text.split('  ')[0])).toEqual(['epoch 1/2', 'epoch 2/2', 'epoch 1/2', 'epoch 2/2'])
  })

  test('refuses misspelled options and epochs that are none', () => {
    expect(() => progress({ epoch: 3 } as never)).toThrow(/unknown option 'epoch'; did you mean 'epochs'/)
    expect(() => progress({ epochs: 0 })).toThrow(/epochs/)
  })
})
