// Streams of this tab: by the worker of all tabs, or, in a browser that has none, by turns.
import { type Ask, Hub, type Reader } from "./hub.ts";
import { send } from "./send.ts";
import type { FromWorker, ToWorker } from "./stream-worker.ts";

const ENDLESS = /\/(WatchStatus|WatchRunning|Tail)$/;
const PING_MS = 5_000;
const UNANSWERED_MAX = 3; // pings after which the worker is given up

/** Whether a call is a stream that never ends. */
export function isEndless(url: string): boolean {
  return ENDLESS.test(url);
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

/** As `fetch`, for a stream that never ends. */
export function openStream(url: string, init: RequestInit): Promise<Response> {
  const signal = init.signal;
  return new Promise((resolve, reject) => {
    let opened: Opened | null = null;
    let body: ReadableStreamDefaultController<Uint8Array> | null = null;
    const over = (): void => signal?.removeEventListener("abort", leave);
    const fail = (reason: unknown): void => {
      over();
      reject(reason);
      body?.error(reason);
      body = null;
    };
    function leave(): void {
      opened?.close();
      fail(signal?.reason);
    }
    const stream = new ReadableStream<Uint8Array>(
      { start: (control) => void (body = control), cancel: leave },
      { highWaterMark: 0 },
    );
    const reader: Reader = {
      begin: (status, headers) => resolve(new Response(stream, { status, headers })),
      frame: (bytes) => {
        body?.enqueue(bytes);
        opened?.read();
      },
      end: () => {
        over();
        body?.close();
        body = null;
      },
      fail: (text) => fail(new TypeError(text)),
    };
    if (signal?.aborted) return fail(signal.reason);
    signal?.addEventListener("abort", leave);
    const headers = [...new Headers(init.headers)];
    opened = hub().open({ url, headers, body: new Uint8Array(init.body as ArrayBuffer) }, reader);
  });
}
