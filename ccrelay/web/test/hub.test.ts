import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ask, HELD, Hub } from "../src/api/hub.ts";

const CONNECTIONS = 6; // of a browser to one origin

/** Streams of a relay, fed by hand. */
class Source {
  open: { url: string; send: (bytes: Uint8Array) => void; end: () => void; signal: AbortSignal }[] = [];
  asked = 0;
  most = 0;
  refuses = false;

  fetch = (ask: Ask, signal: AbortSignal): Promise<Response> => {
    this.asked += 1;
    if (this.refuses) return Promise.reject(new TypeError("refused"));
    let control: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (given) => void (control = given) });
    const one = {
      url: ask.url,
      send: (bytes: Uint8Array) => control.enqueue(bytes),
      end: () => control.close(),
      signal,
    };
    this.open.push(one);
    this.most = Math.max(this.most, this.open.length);
    signal.addEventListener("abort", () => {
      this.open = this.open.filter((other) => other !== one);
      control.error(signal.reason);
    });
    return Promise.resolve(new Response(body, { status: 200, headers: { "content-type": "x/y" } }));
  };
}

function ask(url: string, key = "1"): Ask {
  return { url, headers: [["x-ccrelay-page", key]], body: new Uint8Array([1, 2]) };
}

/** A reader that writes down what it is told. */
function reader() {
  const told: string[] = [];
  return {
    told,
    begin: (status: number) => void told.push(`begin ${status}`),
    frame: (bytes: Uint8Array) => void told.push(bytes[0] === 0x80 ? "trailers" : `frame ${bytes[5]}`),
    end: () => void told.push("end"),
    fail: (text: string) => void told.push(`fail ${text}`),
  };
}

const message = (value: number): Uint8Array => new Uint8Array([0, 0, 0, 0, 1, value]);
const turns = async (): Promise<void> => {
  for (let at = 0; at < 20; at += 1) await new Promise((resolve) => setImmediate(resolve));
};

async function until(condition: () => boolean): Promise<void> {
  for (let at = 0; at < 2_000 && !condition(); at += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(condition());
}

test("all readers of a stream share one, and each begins with its first message", async () => {
  const source = new Source();
  const hub = new Hub(source.fetch, HELD);
  const [a, b] = [reader(), reader()];
  hub.open(ask("u"), a);
  await turns();
  source.open[0]?.send(message(7));
  await turns();
  hub.open(ask("u"), b);
  await turns();
  assert.equal(source.open.length, 1);
  assert.equal(source.asked, 2); // it began again, for the second reader
  source.open[0]?.send(message(8));
  await turns();
  assert.deepEqual(a.told, ["begin 200", "frame 7", "frame 8"]);
  assert.deepEqual(b.told, ["begin 200", "frame 8"]);
});

test("readers that come at once ask once", async () => {
  const source = new Source();
  const hub = new Hub(source.fetch, HELD);
  for (let at = 0; at < 4; at += 1) hub.open(ask("u"), reader());
  await turns();
  assert.equal(source.asked, 1);
});

test("messages are given whole however their bytes come", async () => {
  const source = new Source();
  const one = reader();
  new Hub(source.fetch, HELD).open(ask("u"), one);
  await turns();
  const bytes = new Uint8Array([...message(1), ...message(2), 0x80, 0, 0, 0, 1, 9]);
  for (const byte of bytes) source.open[0]?.send(new Uint8Array([byte]));
  await turns();
  assert.deepEqual(one.told, ["begin 200", "frame 1", "frame 2", "trailers", "end"]);
});

test("what leaves last ends the stream", async () => {
  const source = new Source();
  const hub = new Hub(source.fetch, HELD);
  const [a, b] = [hub.open(ask("u"), reader()), hub.open(ask("u"), reader())];
  await turns();
  a.close();
  assert.equal(source.open.length, 1);
  b.close();
  b.close();
  assert.equal(source.open.length, 0);
});

test("a loss is told to all readers", async () => {
  const source = new Source();
  const hub = new Hub(source.fetch, HELD);
  const all = [reader(), reader(), reader()];
  for (const one of all) hub.open(ask("u"), one);
  await turns();
  source.open[0]?.end();
  await turns();
  for (const one of all) assert.match(one.told.join(), /begin 200,fail .*broke off/);
  source.refuses = true;
  const late = reader();
  hub.open(ask("u"), late);
  await turns();
  assert.match(late.told.join(), /fail .*refused/);
});

test("more streams than may be held take turns, and connections stay free", async () => {
  const source = new Source();
  const hub = new Hub(source.fetch, HELD);
  const all = Array.from({ length: 9 }, (_, at) => ({ at, one: reader() }));
  for (const { at, one } of all) hub.open(ask(`u${at}`), one);
  await turns();
  for (const { at, one } of all) {
    await until(() => source.open.some(({ url }) => url === `u${at}`));
    source.open.find(({ url }) => url === `u${at}`)?.send(message(at));
    await until(() => one.told.includes(`frame ${at}`));
  }
  await until(() => source.open.length === HELD);
  assert.ok(source.most <= CONNECTIONS - 2);
  for (const { at, one } of all) {
    const expected = ["begin 200", `frame ${at}`, ...(at < HELD ? [] : ["trailers", "end"])];
    assert.deepEqual(one.told, expected);
  }
});

test("in a browser without workers nothing is held", async () => {
  const source = new Source();
  const one = reader();
  new Hub(source.fetch, 0).open(ask("u"), one);
  await turns();
  source.open[0]?.send(message(1));
  await until(() => one.told.includes("end"));
  assert.equal(source.open.length, 0);
});

test("a reader that reads nothing is left behind, and the others go on", async () => {
  const source = new Source();
  const hub = new Hub(source.fetch, HELD);
  const [still, quick] = [reader(), reader()];
  hub.open(ask("u"), still);
  const opened = hub.open(ask("u"), { ...quick, frame: (bytes) => (quick.frame(bytes), opened.read()) });
  await turns();
  for (let at = 0; at < 400; at += 1) source.open[0]?.send(message(at % 100));
  await until(() => quick.told.length === 401);
  assert.match(still.told.at(-1) ?? "", /fail/);
  assert.ok(still.told.length < 300);
});
