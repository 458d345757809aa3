// Streams of this tab: by the worker of all tabs, or, in a browser that has none, by turns.
import { type Ask, Hub, type Reader } from "./hub.ts";
import { send } from "./send.ts";
import type { FromWorker, ToWorker } from "./stream-worker.ts";

const ENDLESS = new Set(["WatchStatus", "WatchRunning", "Tail"]);
const PING_MS = 5_000;
const UNANSWERED_MAX = 3; // pings after which the worker is given up

/** Whether a method gives a stream that never ends. */
export function isEndless(method: string): boolean {
  return ENDLESS.has(method);
}

interface Opened {
  read: () => void;
  close: () => void;
}

let ids = 0;

/** The worker, as this tab sees it. */
class Worker {
  #port: MessagePort;
  #readers = new Map<number, Reader>();
  #unanswered = 0;
  #timer: number;

  constructor(readonly onGone: () => void) {
    const worker = new SharedWorker(new URL("./stream-worker.ts", import.meta.url), { name: "ccrelay" });
    worker.onerror = () => this.#gone(); // it could not be loaded
    this.#port = worker.port;
    this.#port.onmessage = (event: MessageEvent<FromWorker>) => this.#heard(event.data);
    this.#timer = window.setInterval(() => this.#ping(), PING_MS);
  }

  open(ask: Ask, reader: Reader): Opened {
    const id = ++ids;
    this.#readers.set(id, reader);
    this.#say({ open: id, ask });
    return {
      read: () => this.#say({ read: id }),
      close: () => {
        if (this.#readers.delete(id)) this.#say({ close: id });
      },
    };
  }

  #say(message: ToWorker): void {
    this.#port.postMessage(message);
  }

  #heard(said: FromWorker): void {
    this.#unanswered = 0;
    if ("pong" in said) return;
    const reader = this.#readers.get(said.id);
    if (!reader) return;
    if ("begin" in said) reader.begin(said.begin, said.headers);
    else if ("frame" in said) reader.frame(said.frame);
    else {
      this.#readers.delete(said.id);
      if ("fail" in said) reader.fail(said.fail);
      else reader.end();
    }
  }

  /** A worker that crashed tells nothing. */
  #ping(): void {
    if (!this.#readers.size) this.#unanswered = 0;
    else if (this.#unanswered >= UNANSWERED_MAX) this.#gone();
    else {
      this.#unanswered += 1;
      this.#say({ ping: this.#unanswered });
    }
  }

  #gone(): void {
    clearInterval(this.#timer);
    this.onGone();
    const readers = [...this.#readers.values()];
    this.#readers.clear();
    for (const one of readers) one.fail("the worker of the page is gone");
  }
}

let worker: Worker | null = null;
let isGivenUp = false;
let own: Hub | null = null;

function hub(): { open: (ask: Ask, reader: Reader) => Opened } {
  if (!isGivenUp) {
    try {
      worker ??= new Worker(() => (isGivenUp = true));
      return worker;
    } catch {
      isGivenUp = true; // there are none in this browser
    }
  }
  own ??= new Hub(send, 0);
  return own;
}

/** What came: the head of an answer, and its frames, each a message or the trailers, whole. */
export interface Answer {
  status: number;
  headers: Headers;
  frames: AsyncGenerator<Uint8Array<ArrayBuffer>, void>;
}

/** Asks for a stream that never ends. */
export function openStream(ask: Ask, signal?: AbortSignal): Promise<Answer> {
  const unread: Uint8Array<ArrayBuffer>[] = [];
  let over: { reason: unknown } | null = null; // without a reason it ended in good order
  let wake = (): void => {};
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const end = (reason?: unknown): void => {
      signal?.removeEventListener("abort", leave);
      over ??= { reason };
      reject(reason ?? new TypeError("it ended without an answer")); // where it has not begun
      wake();
    };
    async function* frames(): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
      try {
        for (;;) {
          const frame = unread.shift();
          if (frame) {
            opened.read();
            yield frame;
          } else if (!over) await new Promise<void>((next) => (wake = next));
          else if (over.reason) throw over.reason;
          else return;
        }
      } finally {
        opened.close();
        end();
      }
    }
    const opened = hub().open(ask, {
      begin: (status, headers) => resolve({ status, headers: new Headers(headers), frames: frames() }),
      frame: (bytes) => {
        unread.push(bytes);
        wake();
      },
      end,
      fail: (text) => end(new TypeError(text)),
    });
    function leave(): void {
      opened.close();
      unread.length = 0;
      end(signal?.reason);
    }
    signal?.addEventListener("abort", leave);
  });
}
