// gRPC-web over the origin that served the page.
//
// Streams that never end go past connect's own way of reading: it races each read against one promise
// that lives as long as the call (`runStreamingCall` of connect 2.3.0), so each message leaves some
// hundred bytes behind until the call is over: 100 MB a day on a busy relay.
import { type DescMessage, type DescMethodStreaming, create, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { StreamResponse, Transport } from "@connectrpc/connect";
import { createMethodUrl, encodeEnvelope } from "@connectrpc/connect/protocol";
import { requestHeader, trailerFlag, trailerParse, validateResponse, validateTrailer } from "@connectrpc/connect/protocol-grpc-web";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { HEAD } from "./hub.ts";
import { isEndless, openStream } from "./streams.ts";

/** A header that a form cannot send: the relay refuses calls by cookie without the page's key in it. */
export const PAGE_HEADER = "x-ccrelay-page";

/** How the page at `baseUrl` makes calls; `key` gives its key. */
export function pageTransport(baseUrl: string, key: () => string): Transport {
  const calls = createGrpcWebTransport({
    baseUrl,
    useBinaryFormat: true,
    interceptors: [
      (next) => (request) => {
        request.header.set(PAGE_HEADER, key());
        return next(request);
      },
    ],
    fetch: (input, init) => fetch(input, { ...init, credentials: "same-origin", cache: "no-store" }),
  });
  return {
    unary: calls.unary,
    async stream(method, signal, timeoutMs, header, input, values) {
      if (!isEndless(method.name)) return calls.stream(method, signal, timeoutMs, header, input, values);
      const headers = requestHeader(true, timeoutMs, header, false);
      headers.set(PAGE_HEADER, key());
      const { value } = await input[Symbol.asyncIterator]().next();
      const body = encodeEnvelope(0, toBinary(method.input, create(method.input, value)));
      const url = createMethodUrl(baseUrl, method);
      return readAs(method, await openStream({ url, headers: [...headers], body }, signal));
    },
  };
}

function readAs<I extends DescMessage, O extends DescMessage>(
  method: DescMethodStreaming<I, O>,
  answer: Awaited<ReturnType<typeof openStream>>,
): StreamResponse<I, O> {
  const { headerError } = validateResponse(answer.status, answer.headers);
  if (headerError) throw headerError;
  const trailer = new Headers();
  async function* messages(): AsyncGenerator<MessageShape<O>> {
    for await (const frame of answer.frames) {
      const data = frame.subarray(HEAD);
      if (!((frame[0] ?? 0) & trailerFlag)) yield fromBinary(method.output, data);
      else {
        for (const [name, value] of trailerParse(data)) trailer.set(name, value);
        validateTrailer(trailer, answer.headers);
      }
    }
  }
  return { stream: true, service: method.parent, method, header: answer.headers, trailer, message: messages() };
}
