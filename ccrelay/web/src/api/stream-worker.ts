// A worker of all tabs: it alone reads streams of the relay. It keeps nothing, and lives while a tab does.
import { type Ask, HELD, Hub } from "./hub.ts";
import { send } from "./send.ts";

/** From a tab. */
export type ToWorker =
  | { ping: number }
  | { open: number; ask: Ask }
  /** One frame was read. */
  | { read: number }
  | { close: number };

/** To a tab. */
export type FromWorker =
  | { pong: number }
  | { id: number; begin: number; headers: [string, string][] }
  | { id: number; frame: Uint8Array<ArrayBuffer> }
  | { id: number; end: true }
  | { id: number; fail: string };

const hub = new Hub(send, HELD);

function serve(port: MessagePort): void {
  const say = (message: FromWorker): void => port.postMessage(message);
  const open = new Map<number, { read: () => void; close: () => void }>();
  port.onmessage = (event: MessageEvent<ToWorker>) => {
    const said = event.data;
    if ("ping" in said) say({ pong: said.ping });
    else if ("read" in said) open.get(said.read)?.read();
    else if ("close" in said) {
      open.get(said.close)?.close();
      open.delete(said.close);
    } else {
      const id = said.open;
      const reader = {
        begin: (begin: number, headers: [string, string][]) => say({ id, begin, headers }),
        frame: (frame: Uint8Array<ArrayBuffer>) => say({ id, frame }),
        end: () => {
          say({ id, end: true });
          open.delete(id);
        },
        fail: (fail: string) => {
          say({ id, fail });
          open.delete(id);
        },
      };
      open.set(id, hub.open(said.ask, reader));
    }
  };
}

(self as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = (event) => {
  for (const port of event.ports) serve(port);
};
