import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { FromWorker, ToWorker } from "../src/api/stream-worker.ts";

const TIMES = ["setInterval", "setTimeout"] as const;

/** A tab, as the worker sees it. */
class Port {
  told: FromWorker[] = [];
  onmessage: (event: { data: ToWorker }) => void = () => {};
  postMessage(message: FromWorker): void {
    this.told.push(message);
  }
  say(data: ToWorker): void {
    this.onmessage({ data });
  }
}

async function connect(): Promise<Port> {
  const scope = globalThis as unknown as { self: object; onconnect: (event: { ports: Port[] }) => void };
  scope.self = globalThis;
  globalThis.fetch = () => new Promise(() => {});
  await import("../src/api/stream-worker.ts");
  const port = new Port();
  scope.onconnect({ ports: [port] });
  return port;
}

const asked: ToWorker = { open: 1, ask: { url: "http://127.0.0.1:1/x/Tail", headers: [], body: new Uint8Array(0) } };

test("a tab that is silent loses its streams, and is not looked at any more", async () => {
  mock.timers.enable({ apis: [...TIMES] });
  const clear = mock.method(globalThis, "clearInterval");
  const port = await connect();
  port.say(asked);
  mock.timers.tick(30_000);
  port.say({ ping: 1 });
  mock.timers.tick(30_000);
  assert.deepEqual(port.told, [{ pong: 1 }]);
  mock.timers.tick(10_000);
  assert.deepEqual(port.told.at(-1), { id: 1, fail: "the page was silent" });
  assert.equal(clear.mock.callCount(), 1);
  mock.reset();
  mock.timers.reset();
});

test("a tab that has closed its streams is not looked at any more", async () => {
  mock.timers.enable({ apis: [...TIMES] });
  const clear = mock.method(globalThis, "clearInterval");
  const port = await connect();
  port.say(asked);
  port.say({ close: 1 });
  mock.timers.tick(10_000);
  assert.equal(clear.mock.callCount(), 1);
  port.say({ ...asked, open: 2 });
  mock.timers.tick(40_000);
  assert.deepEqual(port.told, [{ id: 2, fail: "the page was silent" }]);
  mock.reset();
  mock.timers.reset();
});
