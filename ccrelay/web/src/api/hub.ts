// Streams of the relay, each read once and given to all who ask for it.
//
// A browser has six connections to an origin for all its tabs together, and a stream that never ends
// keeps one. So at most `held` streams are kept open, one for all tabs that want the same; others
// take turns: each is read until it falls silent, and then ended in good order, so that who reads it
// asks again. At least two connections stay free for calls, in any number of tabs.

/** Streams that are kept open; one more takes its turn. */
export const HELD = 3;
const QUIET_MS = 100; // ends a turn
const TURN_MS = 5_000; // the longest turn
const UNREAD_MAX = 256; // messages that one reader may leave unread
const FRAME_MAX = 64 * 1024 * 1024;
/** Bytes before a frame's own: flags and size. */
export const HEAD = 5;
const TRAILER = 0x80;
const OK = new TextEncoder().encode("grpc-status: 0\r\n");

export interface Ask {
  url: string;
  headers: [string, string][];
  body: Uint8Array<ArrayBuffer>;
}

/** Who reads a stream; each frame is a message or the trailers, whole. */
export interface Reader {
  begin: (status: number, headers: [string, string][]) => void;
  frame: (bytes: Uint8Array<ArrayBuffer>) => void;
  end: () => void;
  fail: (text: string) => void;
}

type Fetch = (ask: Ask, signal: AbortSignal) => Promise<Response>;

class Reading {
  hasBegun = false;
  unread = 0;
  constructor(readonly reader: Reader) {}
}

export class Hub {
  #streams = new Map<string, Stream>();
  #turns: (() => Promise<void>)[] = [];
  #isTurning = false;

  constructor(
    readonly fetch: Fetch,
    readonly held: number,
  ) {}

  /** Reads a stream. Returns what takes note of so many frames as read, and what ends the reading. */
  open(ask: Ask, reader: Reader): { read: () => void; close: () => void } {
    const key = `${ask.url} ${String(ask.body)}`;
    const reading = new Reading(reader);
    let stream = this.#streams.get(key);
    if (stream) stream.join(reading, ask);
    else if (this.#streams.size < this.held) {
      stream = new Stream(this.fetch, () => this.#streams.delete(key));
      this.#streams.set(key, stream);
      stream.join(reading, ask);
    } else {
      stream = new Stream(this.fetch, () => {});
      this.#queue(stream, reading, ask);
    }
    const chosen = stream;
    return {
      read: () => void (reading.unread -= 1),
      close: () => chosen.leave(reading),
    };
  }

  #queue(stream: Stream, reading: Reading, ask: Ask): void {
    stream.wait(reading);
    this.#turns.push(() => stream.turn(ask));
    if (!this.#isTurning) void this.#turn();
  }

  async #turn(): Promise<void> {
    this.#isTurning = true;
    for (let next = this.#turns.shift(); next; next = this.#turns.shift()) await next();
    this.#isTurning = false;
  }
}

/** One stream and its readers. */
class Stream {
  #readings = new Set<Reading>();
  #control: AbortController | null = null;
  #isAsking = false;
  #sent = "";
  /** Ends a turn. */
  #quiet = 0;
  #isTurn = false;

  constructor(
    readonly fetch: Fetch,
    readonly onOver: () => void,
  ) {}

  wait(reading: Reading): void {
    this.#readings.add(reading);
  }

  /** Another reader: the stream begins again, since its first messages are what a reader begins with. */
  join(reading: Reading, ask: Ask): void {
    this.#readings.add(reading);
    const headers = String(ask.headers);
    if (this.#isAsking && headers === this.#sent) return;
    this.#sent = headers;
    void this.#run(ask);
  }

  leave(reading: Reading): void {
    if (!this.#readings.delete(reading) || this.#readings.size) return;
    this.#control?.abort();
    this.onOver();
  }

  /** Reads until nothing comes for a moment. */
  async turn(ask: Ask): Promise<void> {
    if (!this.#readings.size) return;
    this.#isTurn = true;
    const late = setTimeout(() => this.#rest(), TURN_MS);
    await this.#run(ask);
    clearTimeout(late);
    clearTimeout(this.#quiet);
  }

  /** Ends a turn in good order; one that got no answer fails. */
  #rest(): void {
    const frame = new Uint8Array(HEAD + OK.length);
    frame.set([TRAILER, 0, 0, 0, OK.length]);
    frame.set(OK, HEAD);
    for (const one of this.#readings) if (one.hasBegun) one.reader.frame(frame.slice());
    this.#over((one) => (one.hasBegun ? one.reader.end() : one.reader.fail("no answer")));
  }

  async #run(ask: Ask): Promise<void> {
    this.#control?.abort();
    const control = new AbortController();
    this.#control = control;
    const isMine = (): boolean => this.#control === control && !control.signal.aborted;
    this.#isAsking = true;
    try {
      const response = await this.fetch(ask, control.signal);
      if (!isMine()) return;
      this.#isAsking = false;
      this.#begin(response);
      if (response.ok && response.body && !response.headers.has("grpc-status")) {
        await this.#read(response.body, isMine);
      }
      if (isMine()) this.#over((one) => one.reader.end());
    } catch (error) {
      if (isMine()) this.#over((one) => one.reader.fail(String(error)));
    }
  }

  /** Readers from before learn that an answer is none by asking again. */
  #begin(response: Response): void {
    for (const one of this.#readings) {
      if (!one.hasBegun) one.reader.begin(response.status, [...response.headers]);
      one.hasBegun = true;
    }
  }

  async #read(body: ReadableStream<Uint8Array>, isMine: () => boolean): Promise<void> {
    const source = body.getReader();
    let rest = new Uint8Array(0);
    for (;;) {
      const { done, value } = await source.read();
      if (!isMine()) return;
      if (done) throw new TypeError("the stream broke off");
      const bytes = new Uint8Array(rest.length + value.length);
      bytes.set(rest);
      bytes.set(value, rest.length);
      let at = 0;
      for (let end = endOf(bytes, at); end > 0 && end <= bytes.length; end = endOf(bytes, at)) {
        const isLast = Boolean((bytes[at] ?? 0) & TRAILER);
        this.#give(bytes.slice(at, end));
        if (isLast || !isMine()) return;
        at = end;
      }
      rest = bytes.slice(at);
    }
  }

  #give(frame: Uint8Array<ArrayBuffer>): void {
    for (const one of this.#readings) {
      one.unread += 1;
      if (one.unread <= UNREAD_MAX) one.reader.frame(frame.slice());
      else {
        // Its tab is gone, or stands still: when it goes on it asks again.
        one.reader.fail("the page did not read");
        this.leave(one);
      }
    }
    if (!this.#isTurn) return;
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#rest(), QUIET_MS) as unknown as number;
  }

  #over(tell: (one: Reading) => void): void {
    const all = [...this.#readings];
    this.#readings.clear();
    this.#control?.abort();
    this.onOver();
    for (const one of all) tell(one);
  }
}

/** Where the frame that begins at `at` ends; 0: its head is not whole. */
function endOf(bytes: Uint8Array, at: number): number {
  if (at + HEAD > bytes.length) return 0;
  const size = new DataView(bytes.buffer, bytes.byteOffset + at + 1).getUint32(0);
  if (size > FRAME_MAX) throw new TypeError("a message is too long");
  return at + HEAD + size;
}
