"""The plan of one request: selects the fault, enforces rate limits, serves the control API.

The control API under `/demo/` reads and resets the limits (`limits`), and sets the fault (`fault`).
"""

import urllib.parse

import msgspec

from ccrelay.demo.faults import FAULTS
from ccrelay.demo.limits import Limiter
from ccrelay.demo.plan import Document, Plan, ReadBody, RequestContext, Wait, error_document, send
from ccrelay.demo.script import FaultCall, ScriptRun, parse_call
from ccrelay.errors import BadRequest, NotFound, RelayError

HEADER = "x-demo-fault"
CONTROL_PREFIX = "/demo/"


class RequestHandler:
    """Handles one request; `fault` is the name of its fault once it was selected."""

    def __init__(self, context: RequestContext, run: ScriptRun, limiter: Limiter) -> None:
        self.fault = "ok"
        self._context = context
        self._run = run
        self._limiter = limiter
        self._credential = context.credential
        self._scripted = run.next_call(context.script_path, self._credential)
        self._delay_s = run.delay_s(context.script_path)

    def steps(self) -> Plan:
        """Yield the steps. The request header overrides the script, the script the prompt."""
        context = self._context
        if context.head.path.startswith(CONTROL_PREFIX):
            yield ReadBody()
            yield from send(context, _control(context, self._run, self._limiter))
            return
        context.rate_limits = self._limiter.headers(self._credential)
        try:
            yield from self._steps()
        except BadRequest as error:
            # Raised while the fault is selected, or before it has sent anything.
            yield from send(context, context.refuse(error))

    def _steps(self) -> Plan:
        context = self._context
        try:
            call = _from_header(context) or self._scripted
        except BadRequest:
            yield ReadBody()  # an unread body would be parsed as the next request
            raise
        if call.name != "ok" and not FAULTS[call.name].reads_body:
            # The body is unread, so its tokens are unknown and not counted.
            self.fault = call.name
            yield from self._run_fault(call, body_is_read=False)
            return
        yield ReadBody()
        if call.name == "ok":
            call = _from_prompt(context) or call
        self.fault = call.name
        if context.is_messages:
            yield from self._run_within_limits(call)
        else:
            yield from self._run_fault(call, body_is_read=True)

    def _run_within_limits(self, call: FaultCall) -> Plan:
        context, limiter = self._context, self._limiter
        rejection = limiter.admit(self._credential, _input_tokens(context))
        context.rate_limits = limiter.headers(self._credential)
        if rejection is not None:
            self.fault = "limit"
            says_when = limiter.quotas.send_headers and context.sends_retry_after
            fields = [("retry-after", str(rejection.retry_after_s))] if says_when else []
            yield from send(context, error_document(context, 429, rejection.message, *fields))
            return
        try:
            yield from self._run_fault(call, body_is_read=True)
        finally:
            limiter.finish(self._credential, context.output_tokens)

    def _run_fault(self, call: FaultCall, *, body_is_read: bool) -> Plan:
        if self._delay_s:
            yield Wait(self._delay_s)
        yield from call.plan(self._context, body_is_read=body_is_read)


def _from_header(context: RequestContext) -> FaultCall | None:
    text = context.head.get(HEADER)
    return parse_call(text) if text else None


def _from_prompt(context: RequestContext) -> FaultCall | None:
    if not context.is_messages:
        return None
    fault = context.request().directives.fault
    return parse_call(fault) if fault else None


def _input_tokens(context: RequestContext) -> int:
    try:
        return context.request().usage.limited
    except BadRequest:
        return 0  # the request gets an error for that


def _control(context: RequestContext, run: ScriptRun, limiter: Limiter) -> Document:
    try:
        match context.head.method, context.head.path:
            case "GET", "/demo/limits":
                return Document(200, msgspec.json.encode(limiter.ledger()))
            case "POST", "/demo/limits/reset":
                limiter.reset()
            case "POST", "/demo/fault":
                query = dict(urllib.parse.parse_qsl(context.head.target.partition("?")[2]))
                name = query.get("name", "")
                run.set_fault(parse_call("ok" if name == "none" else name), key=query.get("key"))
            case method, path:
                raise NotFound(f"The control API of the mock provider has no {method} {path}.")
    except RelayError as error:
        return error_document(context, error.status, error.message)
    return Document(200, b"{}")
