/**
 * What the library takes of Node's globals, where there is none: the bundle of `wengert/web` finds these in their place (the build
 * names them, scripts/package/web.mjs). Nothing here touches the globals themselves.
 */

/** No variables, no modules of Node; warnings go to the console. That no binary runs in a browser needs no warning. */
export const process = {
  env: {} as Record<string, string | undefined>,
  emitWarning(message: string, { code }: { code?: string } = {}): void {
    if (code !== 'WENGERT_JS') console.warn(message)
  },
}

/** After what is waiting already. A timer would wait four milliseconds each time; a message does not. */
export function setImmediate(then: () => void): void {
  const { port1, port2 } = new MessageChannel()
  // Node's types of a port know no addEventListener of the web's kind.
  const port: { onmessage?: () => void; close(): void } = port1
  port.onmessage = () => {
    port.close()
    then()
  }
  port2.postMessage(undefined)
}

/** A page that is not isolated has no shared memory. None is needed where everything runs on one thread: it is only told apart. */
export const SharedArrayBuffer: new (bytes: number) => ArrayBufferLike = globalThis.SharedArrayBuffer ?? class extends ArrayBuffer {}
