"""Keys that a provider refused (401, 403): when they are tried again, and what is said of it.

The first trial is due after FIRST_S, each further one after twice that, at most LONGEST_S. All
workers see the same (`_fast.refusals`), and one makes the trial. That is a request that nothing
else can serve (`routing.trials`), else a probe (`relay.health_checks`).
"""

from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.provider_state import Target
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.local_reply import ErrorReply
from ccrelay.routing.verdict import NOT_ASKED, Blame, Verdict

FIRST_S = 30.0
LONGEST_S = 900.0
REASON = "key_refused"  # of a Verdict
EXPIRED = "credential_expired"  # the same of a cloud's, where no fresh one has helped
UNCHECKED = "auth_unavailable"


def refused(context: WorkerContext, target: Target) -> None:
    """Disable a key until its trial, and log it once for requests that were refused together."""
    seconds = target.refusals.add(context.reactor.now, FIRST_S, LONGEST_S)
    if seconds:
        context.log.event(
            "error",
            "key_disabled",
            **_known(target),
            why=REASON,
            seconds=seconds,
            hint="The provider refuses it: replace it. It is tried again after that many seconds, "
            "and on a reload (SIGHUP).",
        )


def accepted(context: WorkerContext, target: Target) -> None:
    """The provider takes a key again that it had refused: use it, and log that."""
    if target.refusals.clear():
        context.log.event("info", "key_restored", **_known(target))
        context.queue.poke()


def judged(context: WorkerContext, target: Target, verdict: Verdict) -> None:
    """An attempt with a key that was refused before has failed: what that proves of the key."""
    if verdict.reason in (REASON, EXPIRED):
        return
    if verdict.blame in (Blame.KEY, Blame.REQUEST, Blame.MODEL) and verdict not in NOT_ASKED:
        accepted(context, target)  # the provider has looked at more than the key
    else:
        target.refusals.release()
        context.queue.poke()


def is_told_by_us(verdict: Verdict) -> bool:
    """Whether the client must not get the provider's status: it is about the relay's key."""
    return verdict.reason in (REASON, EXPIRED, UNCHECKED)


def reply(target: Target, verdict: Verdict, status: int) -> ErrorReply:
    """The error for the client. The provider's own words would read as about the client's key."""
    provider, name = target.provider.name, target.fingerprint
    if target.name != name:
        name = f"{target.name} ({name})"
    if verdict.reason == EXPIRED and is_credential(target):
        error = UpstreamFailed(
            f"Provider {provider} refused the relay's credential {name} with status {status}: "
            "see the relay's log, and check the role or account that it is for.",
            should_retry=False,
        )
    elif verdict.reason in (REASON, EXPIRED):
        error = UpstreamFailed(
            f"Provider {provider} refused the relay's key {name} with status {status}: "
            "replace it in the relay's configuration.",
            should_retry=False,
        )
    else:
        error = UpstreamFailed(
            f"Provider {provider} could not check the relay's key {name}: status {status}."
        )
    return ErrorReply(verdict.priority, error.status, error=error)


def is_credential(target: Target) -> bool:
    """Whether it is a cloud's credential, which is issued, and no key of the configuration."""
    return target.credential is not None


def _known(target: Target) -> dict[str, str]:
    known = {"provider": target.provider.name, "key": target.fingerprint}
    if target.name != target.fingerprint:
        known["key_name"] = target.name
    return known
