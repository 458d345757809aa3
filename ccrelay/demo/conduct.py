"""The plan of one request: which fault, whether its credential may, what the demo is told to do.

`/demo/...` steers the demo itself: what it lets through (`limits`) and how it misbehaves (`fault`).
"""

import urllib.parse

import msgspec

from ccrelay.demo.faults import FAULTS
from ccrelay.demo.limits import Limiter, credential_of
from ccrelay.demo.plan import Document, Plan, ReadBody, Scene, Wait, error_document, send
from ccrelay.demo.script import Call, ScriptRun, parse_call
from ccrelay.errors import BadRequest, NotFound, RelayError

HEADER = "x-demo-fault"
STEERING = "/demo/"


class Conducted:
    """The plan of one request, and the name of the fault in it once that is settled."""

    def __init__(self, scene: Scene, run: ScriptRun, limiter: Limiter) -> None:
        self.fault = "ok"
        self._scene = scene
        self._run = run
        self._limiter = limiter
        self._credential = credential_of(scene.head)
        self._scripted = run.next_call(scene.head.path, self._credential)
        self._delay_s = run.delay_s(scene.head.path)

    def steps(self) -> Plan:
        """Yield all steps: the header of the request wins over the script, that over the prompt."""
        scene = self._scene
        if scene.head.path.startswith(STEERING):
            yield ReadBody()
            yield from send(scene, _steer(scene, self._run, self._limiter))
            return
        scene.rate_limits = self._limiter.headers(self._credential)
        try:
            yield from self._steps()
        except BadRequest as error:
            # Raised while the fault is being chosen or before it sent anything.
            yield from send(scene, error_document(scene, 400, error.message))

    def _steps(self) -> Plan:
        scene = self._scene
        try:
            call = _from_header(scene) or self._scripted
        except BadRequest:
            yield ReadBody()  # what stays unread would be taken for the next request
            raise
        if call.name != "ok" and not FAULTS[call.name].reads_body:
            # Its tokens are not known, so that it counts for nothing.
            self.fault = call.name
            yield from self._perform(call, body_is_read=False)
            return
        yield ReadBody()
        if call.name == "ok":
            call = _from_prompt(scene) or call
        self.fault = call.name
        if scene.is_messages:
            yield from self._perform_within_limits(call)
        else:
            yield from self._perform(call, body_is_read=True)

    def _perform_within_limits(self, call: Call) -> Plan:
        scene, limiter = self._scene, self._limiter
        refusal = limiter.admit(self._credential, _input_tokens(scene))
        scene.rate_limits = limiter.headers(self._credential)
        if refusal is not None:
            self.fault = "limit"
            told = limiter.quotas.are_told
            fields = [("retry-after", str(refusal.retry_after_s))] if told else []
            yield from send(scene, error_document(scene, 429, refusal.message, *fields))
            return
        try:
            yield from self._perform(call, body_is_read=True)
        finally:
            limiter.settle(self._credential, scene.produced)

    def _perform(self, call: Call, *, body_is_read: bool) -> Plan:
        if self._delay_s:
            yield Wait(self._delay_s)
        yield from call.plan(self._scene, body_is_read=body_is_read)


def _from_header(scene: Scene) -> Call | None:
    text = scene.head.get(HEADER)
    return parse_call(text) if text else None


def _from_prompt(scene: Scene) -> Call | None:
    if not scene.is_messages:
        return None
    fault = scene.ask().directives.fault
    return parse_call(fault) if fault else None


def _input_tokens(scene: Scene) -> int:
    try:
        return scene.ask().usage.limited
    except BadRequest:
        return 0  # it will be refused for that, or suffers a fault that reads no body


def _steer(scene: Scene, run: ScriptRun, limiter: Limiter) -> Document:
    try:
        match scene.head.method, scene.head.path:
            case "GET", "/demo/limits":
                return Document(200, msgspec.json.encode(limiter.ledger()))
            case "POST", "/demo/limits/reset":
                limiter.forget()
            case "POST", "/demo/fault":
                query = dict(urllib.parse.parse_qsl(scene.head.target.partition("?")[2]))
                name = query.get("name", "")
                run.use(parse_call("ok" if name == "none" else name), key=query.get("key"))
            case method, path:
                raise NotFound(f"The demo provider cannot be steered by {method} {path}.")
    except RelayError as error:
        return error_document(scene, error.status, error.message)
    return Document(200, b"{}")
