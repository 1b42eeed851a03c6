/**
 * A page on which one draws a digit: `node dist/examples/draw-a-digit.js [PORT]`. Trains the network of `digits.ts` and serves the
 * page, the model as bytes, and the library as a browser runs it. The page lies in examples/draw-a-digit/.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { encodeModel } from 'wengert'
import { loadDigits, train } from './digits-task.js'
import { percent } from './output.js'

const root = new URL('.', import.meta.resolve('wengert/package.json'))
const types: Record<string, string> = { html: 'text/html; charset=utf-8', js: 'text/javascript', model: 'application/octet-stream' }

/** Starts the server; resolves to its port, the network's accuracy, and what ends it. */
export async function serve(port = 0): Promise<{ port: number; accuracy: number; close: () => void }> {
  const { bundleWeb } = (await import(new URL('scripts/package/web.mjs', root).href)) as {
    bundleWeb(lib: string, to: string): Promise<unknown>
  }
  const folder = mkdtempSync(join(tmpdir(), 'wengert-draw-'))
  await bundleWeb(fileURLToPath(new URL('dist/lib', root)), folder)
  const { model, testAccuracy } = await train('MBSGD', await loadDigits(1), 1)
  const page = fileURLToPath(new URL('examples/draw-a-digit/index.html', root))
  const bytes = encodeModel(model)
  const server = createServer(({ url = '/' }, response) => {
    const script = /^\/(web[\w/-]*\.js)$/.exec(url)?.[1]
    try {
      const body = url === '/' ? readFileSync(page) : url === '/digits.model' ? bytes : readFileSync(join(folder, script ?? 'none'))
      response.writeHead(200, { 'content-type': types[url === '/' ? 'html' : (url.split('.').at(-1) as string)] }).end(body)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const close = () => {
    server.close()
    rmSync(folder, { recursive: true, force: true })
  }
  return { port: (server.address() as AddressInfo).port, accuracy: testAccuracy, close }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { port, accuracy } = await serve(Number(process.argv[2] ?? 8080))
  console.log(`${percent(accuracy)} of the held-out digits are right. Draw one at http://127.0.0.1:${port}/`)
}
