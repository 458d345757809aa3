"""Fuzz target for targets and headers: `python tests/fuzz/fuzz_targets.py --seconds 5 --seed 1`.

Invariants, against a grammar written down apart (`tests/reference/targets.py`, `field_names.py`):

- A target parses if and only if it is canonical; then it is served, or 404, or 405, as the table
  says.
- What is sent upstream is plain: one reading, ids and a query of their own grammar, the same when
  it is parsed again.
- A header goes on, in either direction, if and only if its family may.
"""

import argparse
import random
import re
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # started as a script: the repository root is not on the path
    sys.path.append(str(Path(__file__).parents[2]))

from ccrelay._fast.head_writer import Framing, RequestPlan, render_response
from ccrelay._fast.http1 import BadHead, HeadFault, parse_request, parse_response
from ccrelay._fast.token_guard import TokenGuard
from ccrelay.errors import MethodNotAllowed, NotFound
from ccrelay.relay.api_endpoints import match
from tests.fuzz.mutate import mutations
from tests.reference import field_names, targets

METHODS = (b"GET", b"HEAD", b"POST", b"DELETE", b"PUT", b"PATCH", b"TRACE", b"OPTIONS")
SENT = re.compile(
    rb"/(v1/[a-z_/]+[A-Za-z0-9_/-]*|[a-z/]*)(\?[a-z_]+=[A-Za-z0-9_.~%-]+(&[a-z_]+=[A-Za-z0-9_.~%-]+)*)?"
)
TARGETS = [
    *(row.replace("*", "file_01").encode() for row in targets.SERVED),
    *(b"/v1/models/org/m-1%5B1m%5D", b"/v1/messages?beta=true", b"/v1/files?limit=2&after_id=x"),
    *(b"/v1/%2e%2e/admin", b"/v1/./messages", b"/v1//messages", b"/v1/messages;a", b"/v1/%252e"),
]
PIECES = (
    *(b"/", b"//", b".", b"..", b"/../", b"%2e", b"%2F", b"%25", b"%00", b"%c0%ae", b";", b"%5c"),
    *(b"%7e", b"%41", b"%20", b"%5B", b"v1", b"messages", b"batches", b"files", b"?", b"&", b"="),
    *(b"beta=true", b"limit=1", b"a" * 129, b"-", b"_", b"~", b"{", b"%", b"%2", b"admin"),
)
NAMES = [
    *field_names.BY_NAME,
    *("x-forwarded-for", "cf-ray", "x-amz-date", "x-auth-token", "set-cookie2", "sec-fetch-site"),
    *("access-control-allow-origin", "anthropic-version", "x-stainless-lang", "x-custom", "hx-a"),
    *("x-original-url", "x-http-method-override", "www-authenticate", "x-ccrelay-a", "x-my-secret"),
]
PLAN = RequestPlan(prefix=b"", host=b"h", lines=[])
TOKENS = [b"relay-token-1", b"another-relay-token-22", b"relay-t0ken-3-that-is-longer"]
GUARD = TokenGuard(TOKENS)


def run(seconds: float, seed: int) -> int:
    """Try for `seconds`; how many inputs there were. AssertionError when an invariant is broken."""
    rng = random.Random(seed)
    ends_at = time.monotonic() + seconds
    changed_targets = mutations(TARGETS, rng)
    changed_names = mutations([name.encode() for name in NAMES], rng)
    tried = 0
    while time.monotonic() < ends_at:
        tried += 1
        target = next(changed_targets) if tried % 2 else spliced(rng)
        name = next(changed_names)
        try:
            check_target(rng.choice(METHODS), target)
            check_name(name)
            check_token(rng)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, try {tried}: {target!r} {name!r}") from error
    return tried


def spliced(rng: random.Random) -> bytes:
    """A target with pieces put into it."""
    target = rng.choice(TARGETS)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(target))
        target = target[:at] + rng.choice(PIECES) + target[at:]
    return target


def check_target(method: bytes, target: bytes) -> None:
    if not re.fullmatch(rb"/[!$-;=?-\[\]-~]*", target):
        return  # not a target in origin form: fuzz_http1
    try:
        parsed = parse_request(method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    except BadHead as error:
        fault, parsed = error.fault, None
    if parsed is None:
        assert fault == HeadFault.NOT_CANONICAL
        assert not targets.is_canonical(target)
        return
    assert targets.is_canonical(target)
    head = parsed[0]
    methods = targets.methods_of(head.path)
    try:
        endpoint, sent = match(method, head.path, head.query, lambda _: True)
    except NotFound:
        assert methods is None
        return
    except MethodNotAllowed as error:
        allowed = set(error.allow.decode().split(", "))
        assert allowed == methods
        assert method.decode() not in allowed
        return
    assert methods is not None
    assert method.decode() in methods
    if endpoint.group == "models":
        return  # goes nowhere
    assert SENT.fullmatch(sent), sent
    assert targets.is_canonical(sent)
    path, _, query = sent.partition(b"?")
    assert path == head.path
    assert match(method, path, query, lambda _: True) == (endpoint, sent)


def check_name(name: bytes) -> None:
    if not re.fullmatch(rb"[A-Za-z0-9!#$%&'*+\-.^_`|~]+", name):
        return
    family = field_names.family(name)
    if family == "framing" or name.lower() in (b"host", b"connection", b"content-encoding"):
        return  # their values mean something: fuzz_http1
    line = name + b": x\r\n"
    request = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n")
    assert request is not None
    is_sent = line in PLAN.render(request[0], -1, False, b"/v1/messages")
    assert is_sent == (family not in field_names.TO_NO_PROVIDER)
    response = parse_response(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n")
    assert response is not None
    is_answered = line in render_response(response[0], Framing.KEEP)
    assert is_answered == (family not in field_names.TO_NO_CLIENT)


def check_token(rng: random.Random) -> None:
    """A token, or a piece of one, at any place of a head."""
    token = rng.choice(TOKENS)
    piece = token[: rng.randint(len(token) - 2, len(token))]
    values = [bytes(rng.choices(b"relayton-12", k=rng.randint(0, 40))) for _ in range(6)]
    at = rng.randrange(6)
    cut = rng.randint(0, len(values[at]))
    values[at] = values[at][:cut] + piece + values[at][cut:]
    lines = b"".join(b"x-%d: %b\r\n" % field for field in enumerate(values))
    parsed = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
    assert parsed is not None
    assert not GUARD.hold_back(parsed[0])
    written = PLAN.render(parsed[0], -1, False, b"/v1/messages")
    for number, value in enumerate(values):
        has_one = any(known in value for known in TOKENS)
        assert (b"x-%d: %b\r\n" % (number, value) in written) == (not has_one), (number, values)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    tried = run(chosen.seconds, chosen.seed)
    sys.stdout.write(f"{tried} inputs, no difference\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
