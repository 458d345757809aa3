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
const LOOK_MS = 10_000;
const SILENT_MAX = 3; // looks at which a tab with streams was silent; it speaks every 5 seconds

function serve(port: MessagePort): void {
  const say = (message: FromWorker): void => port.postMessage(message);
  const open = new Map<number, { read: () => void; close: () => void }>();
  let silent = 0;
  let timer = 0;
  /** The tab is gone: not all browsers tell when one crashed. */
  const leave = (): void => {
    clearInterval(timer);
    timer = 0;
    for (const [id, one] of open) {
      one.close();
      say({ id, fail: "the page was silent" });
    }
    open.clear();
  };
  const look = (): void => {
    silent += 1;
    // A tab without streams says nothing, and may be gone as well.
    if (!open.size || silent > SILENT_MAX) leave();
  };
  port.onmessage = (event: MessageEvent<ToWorker>) => {
    const said = event.data;
    silent = 0;
    timer ||= setInterval(look, LOOK_MS) as unknown as number;
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
