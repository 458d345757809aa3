import assert from "node:assert/strict";
import { test } from "node:test";
import { queryObjects } from "node:v8";
import { create, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { Exchanges, TailResponseSchema } from "../src/api/gen/ccrelay/v1/exchanges_pb.ts";
import { PAGE_HEADER, pageTransport } from "../src/api/transport.ts";

const MESSAGES = 1_000;
const TRAILER = 0x80;

/** Stands for the relay: the next stream is fed by hand. */
class Relay {
  asked: Request[] = [];
  #body: ReadableStreamDefaultController<Uint8Array> | null = null;
  headers: Record<string, string> = {};
  status = 200;

  constructor() {
    globalThis.fetch = (url, init) => {
      this.asked.push(new Request(url as string, init));
      const body = new ReadableStream<Uint8Array>({ start: (control) => void (this.#body = control) });
      init?.signal?.addEventListener("abort", () => this.#body?.error(init.signal?.reason));
      return Promise.resolve(new Response(body, { status: this.status, headers: this.headers }));
    };
  }

  send(dropped: number): void {
    const message = create(TailResponseSchema, { dropped: BigInt(dropped) });
    this.#body?.enqueue(encodeEnvelope(0, toBinary(TailResponseSchema, message)));
  }

  end(status: number): void {
    this.#body?.enqueue(encodeEnvelope(TRAILER, new TextEncoder().encode(`grpc-status: ${status}\r\ngrpc-message: it rests\r\n`)));
    this.#body?.close();
  }
}

const client = createClient(Exchanges, pageTransport("http://127.0.0.1:1", () => "a-key"));

test("messages come whole, with the key of the page, until the trailers", async () => {
  const relay = new Relay();
  const found: bigint[] = [];
  const stream = client.tail({ filter: "model:opus" })[Symbol.asyncIterator]();
  const first = stream.next();
  await new Promise((resolve) => setImmediate(resolve));
  for (const number of [1, 2, 3]) relay.send(number);
  relay.end(0);
  for (let one = await first; !one.done; one = await stream.next()) found.push(one.value.dropped);
  assert.deepEqual(found, [1n, 2n, 3n]);
  assert.equal(relay.asked[0]?.url, "http://127.0.0.1:1/ccrelay.v1.Exchanges/Tail");
  assert.equal(relay.asked[0]?.headers.get(PAGE_HEADER), "a-key");
});

test("an error is one, wherever it stands", async () => {
  const relay = new Relay();
  const read = async (): Promise<void> => {
    for await (const _ of client.tail({}));
  };
  const late = read();
  await new Promise((resolve) => setImmediate(resolve));
  relay.send(1);
  relay.end(14);
  await assert.rejects(late, /\[unavailable\] it rests/);
  relay.headers = { "grpc-status": "16", "grpc-message": "sign in" };
  await assert.rejects(read(), /\[unauthenticated\] sign in/);
  relay.headers = {};
  relay.status = 502;
  await assert.rejects(read(), /HTTP 502/);
});

test("who leaves, leaves at once", async () => {
  new Relay();
  const control = new AbortController();
  const stream = client.tail({}, { signal: control.signal })[Symbol.asyncIterator]();
  const next = stream.next();
  await new Promise((resolve) => setImmediate(resolve));
  control.abort(new Error("away"));
  await assert.rejects(next, /away/);
});

test("a message leaves nothing behind", async () => {
  const relay = new Relay();
  const stream = client.tail({})[Symbol.asyncIterator]();
  const first = stream.next();
  await new Promise((resolve) => setImmediate(resolve));
  relay.send(0);
  await first;
  const before = queryObjects(Promise) as unknown as number;
  for (let at = 1; at <= MESSAGES; at += 1) {
    relay.send(at);
    assert.equal((await stream.next()).value?.dropped, BigInt(at));
  }
  const more = (queryObjects(Promise) as unknown as number) - before;
  assert.ok(more < MESSAGES / 10, `${more} promises are kept of ${MESSAGES} messages`);
  relay.end(0);
  assert.equal((await stream.next()).done, true);
});
