import { describe, expect, test } from 'vitest'
import { serve } from '../../examples/draw-a-digit.js'
import { decodeModel } from '../../lib/index.js'

describe('draw-a-digit', () => {
  test('serves the page, the model and the library', async () => {
    const { port, accuracy, close } = await serve()
    try {
      expect(accuracy).toBeGreaterThan(0.9)
      const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`)
      const page = await (await get('/')).text()
      expect(page).toContain('<canvas id="pad"')
      for (const path of [...page.matchAll(/from '\.(\/web\/[^']+)'/g)].map((match) => match[1] as string)) {
        const script = await get(path)
        expect(script.headers.get('content-type')).toBe('text/javascript')
        expect(await script.text()).toContain('export')
      }
      const model = decodeModel(new Uint8Array(await (await get('/digits.model')).arrayBuffer()))
      expect(model.predict(new Float32Array(64)).shape).toEqual([10])
      expect((await get('/web/../../package.json')).status).toBe(404)
    } finally {
      close()
    }
  })
})
