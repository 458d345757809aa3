"""A hostile page and its server: everything that a page can do to another origin's server."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Each attack returns what it has read, or throws. `target` is the relay's origin.
PAGE = """<!doctype html><title>hostile</title><body><script>
const STOP = '/ccrelay.v1.Relay/Stop', GET = '/ccrelay.v1.Relay/GetStatus';
const WATCH = '/ccrelay.v1.Relay/WatchStatus';
const GRPC = 'application/grpc-web+proto', EMPTY = new Uint8Array(5);
const wait = ms => new Promise(done => setTimeout(done, ms));

async function read(path, how) {
  const answer = await fetch(target + path, {credentials: 'include', ...how});
  if (answer.type === 'opaque') return '';            // sent, and nothing to read
  const text = await answer.text();
  return answer.ok || text.includes('grpc-status: 0') ? text || 'an answer' : '';
}
const post = (path, headers, how) =>
  read(path, {method: 'POST', headers, body: EMPTY, ...how});

function element(name, attributes) {
  const made = document.createElement(name);
  return new Promise((done, failed) => {
    made.onload = () => done(name === 'iframe' ? inside(made) : 'loaded');
    made.onerror = () => failed(new Error('not loaded'));
    Object.assign(made, attributes);
    document.body.append(made);
    setTimeout(() => done(''), 1500);
  });
}
function inside(frame) {
  try { return frame.contentDocument ? frame.contentDocument.body.innerText : ''; }
  catch { return ''; }
}
function form(path, type, name, value) {
  const frame = document.createElement('iframe');
  frame.name = 'f' + Math.random();
  const made = document.createElement('form');
  Object.assign(made, {method: 'POST', action: target + path, enctype: type, target: frame.name});
  const input = document.createElement('input');
  Object.assign(input, {name, value});
  made.append(input);
  document.body.append(frame, made);
  return new Promise(done => {
    frame.onload = () => setTimeout(() => done(inside(frame)), 50);
    made.submit();
    setTimeout(() => done(''), 1500);
  });
}

const attacks = {
  fetchGrpc: () => post(STOP, {'content-type': GRPC}),
  fetchGrpcNoCors: () => post(STOP, {'content-type': GRPC}, {mode: 'no-cors'}),
  fetchPlain: () => post(STOP, {'content-type': 'text/plain'}),
  fetchPlainNoCors: () => post(STOP, {'content-type': 'text/plain'}, {mode: 'no-cors'}),
  fetchBlob: () => read(STOP, {method: 'POST', body: new Blob([EMPTY])}),
  fetchHeader: () => post(STOP, {'content-type': GRPC, 'x-ccrelay-page': '1'}),
  fetchHeaderNoCors: () =>
    post(STOP, {'content-type': GRPC, 'x-ccrelay-page': '1'}, {mode: 'no-cors'}),
  fetchToken: () => post(STOP, {'content-type': GRPC, 'authorization': 'Bearer x'}),
  fetchKeepalive: () => post(STOP, {}, {mode: 'no-cors', keepalive: true}),
  readStatus: () => post(GET, {'content-type': GRPC}),
  readStatusByGet: () => read(GET),
  readSession: () => read('/session'),
  readSessionHeader: () => read('/session', {headers: {'x-ccrelay-page': '1'}}),
  readMetrics: () => read('/metrics'),
  readHealth: () => read('/healthz'),
  readPage: () => read('/'),
  readScript: () => read('/assets/app.js'),
  signOut: () => read('/session', {method: 'DELETE', headers: {'x-ccrelay-page': '1'}}),
  signOutNoCors: () => read('/session', {method: 'DELETE', mode: 'no-cors'}),
  signIn: () => read('/session', {method: 'POST', body: '{"code":"x"}',
    headers: {'content-type': 'application/json', 'x-ccrelay-page': '1'}}),
  signInPlain: () => read('/session', {method: 'POST', body: '{"code":"x"}', mode: 'no-cors'}),
  beacon: async () => {
    navigator.sendBeacon(target + STOP, new Blob([EMPTY], {type: 'text/plain'}));
    try { navigator.sendBeacon(target + STOP, new Blob([EMPTY], {type: GRPC})); } catch {}
    await wait(300);
    return '';
  },
  xhr: () => new Promise((done, failed) => {
    const made = new XMLHttpRequest();
    made.open('POST', target + STOP);
    made.withCredentials = true;
    made.onload = () => done(made.responseText);
    made.onerror = () => failed(new Error('refused'));
    made.send(EMPTY);
  }),
  formUrlencoded: () => form(STOP, 'application/x-www-form-urlencoded', 'a', 'b'),
  formPlain: () => form(STOP, 'text/plain', '\\0\\0\\0\\0\\0', ''),
  formMultipart: () => form(STOP, 'multipart/form-data', 'a', 'b'),
  formSession: () => form('/session', 'text/plain', '{"code":"x","a":"', '"}'),
  formPage: () => form('/', 'text/plain', 'a', 'b'),
  image: () => element('img', {src: target + '/favicon.svg'}),
  imageMetrics: () => element('img', {src: target + '/metrics'}),
  script: () => element('script', {src: target + '/assets/app.js'}),
  scriptMetrics: () => element('script', {src: target + '/metrics'}),
  module: () => element('script', {src: target + '/assets/app.js', type: 'module'}),
  style: () => element('link', {href: target + '/assets/app.css', rel: 'stylesheet'}),
  frame: () => element('iframe', {src: target + '/'}),
  frameSandbox: () => element('iframe', {src: target + '/', sandbox: 'allow-scripts'}),
  frameMetrics: () => element('iframe', {src: target + '/metrics'}),
  object: () => element('object', {data: target + '/'}).then(() => ''),
  embed: () => element('embed', {src: target + '/'}).then(() => ''),
  events: () => new Promise((done, failed) => {
    const made = new EventSource(target + WATCH, {withCredentials: true});
    made.onmessage = made.onopen = () => done('events');
    made.onerror = () => { made.close(); failed(new Error('refused')); };
  }),
  socket: () => new Promise((done, failed) => {
    const made = new WebSocket(target.replace('http', 'ws') + WATCH);
    made.onopen = made.onmessage = () => done('socket');
    made.onerror = () => failed(new Error('refused'));
  }),
  opened: async () => {
    const other = window.open(target + '/');
    if (!other) return '';
    await wait(800);
    let found = '';
    try { found += other.document.body.innerText; } catch {}
    try { other.postMessage('x', '*'); found += other.localStorage.getItem('key') || ''; } catch {}
    try { if (other.length) found += 'frames'; } catch {}
    return other.closed ? found : found + 'a handle of the page';
  },
  openedMetrics: async () => {
    const other = window.open(target + '/metrics');
    await wait(500);
    try { return other.document.body.innerText; } catch { return ''; }
  },
  cookie: async () => document.cookie,
  storage: async () => localStorage.getItem('key') || '',
};

async function run(origin) {
  window.target = origin;
  const found = {};
  for (const [name, attack] of Object.entries(attacks)) {
    try { found[name] = await attack(); } catch (error) { found[name] = ''; }
  }
  return found;
}
</script>"""


class Hostile:
    """A server on another port of this host.

    `cookies`: all Cookie headers that browsers have sent it.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: list[str] = []


@contextmanager
def hostile_server() -> Iterator[Hostile]:
    """Serve the page at every path, under every name."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if cookie := self.headers.get("cookie"):
                hostile.cookies.append(cookie)
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a tab was closed while it was answered

    server = Server(("127.0.0.1", 0), Handler)
    hostile = Hostile(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hostile
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
