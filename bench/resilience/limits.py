"""Pools of keys before a provider with limits: nobody is refused, nothing is left unused."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from bench.resilience import load
from bench.resilience.client import Answer, ask, message
from bench.resilience.findings import Finding, Findings
from bench.resilience.stage import Mock, Stage, provider

KEYS = 4
RPM = 60  # of each key
OFFERED_RPM = 230  # of 240
BURST = 20
CONVERSATIONS = 10  # half of the requests belong to one of them, the others stand alone
TPM = 400_000  # of each key
TOKENS_LEAST, TOKENS_MOST = 1_000, 150_000
OUTPUT_LEAST, OUTPUT_MOST = 50, 3_000
BYTES_PER_TOKEN = 4  # as the mock counts
WINDOW_S = 60.0


async def pool_rpm(stage: Stage) -> list[Finding]:
    """4 keys x 60 rpm: 230 rpm offered in bursts, then more than there is."""
    found = Findings("pool-rpm")
    within_s, beyond_s, beyond_rpm = (20.0, 44.0, 420) if stage.quick else (300.0, 130.0, 300)
    mock = await stage.mock("p1", "--limits", f"rpm={RPM}", "--gap-ms", "1")
    relay = await stage.relay("relay", providers=[provider(mock, KEYS, key_rpm_limit=RPM)])

    async def send(number: int) -> Answer:
        session = f"c{number // 2 % CONVERSATIONS}" if number % 2 else f"alone-{number}"
        return await ask(relay.port, message(f"{session} {number} demo:deltas=5", session=session))

    begins_at = time.monotonic()
    within = load.offer(load.bursts(OFFERED_RPM, BURST, within_s), send, begins_at=begins_at)
    beyond_at = begins_at + within_s
    ends_at = beyond_at + beyond_s
    minutes = int((within_s + beyond_s) // WINDOW_S if stage.quick else beyond_s // WINDOW_S)

    async def beyond() -> None:
        await asyncio.sleep(beyond_at - time.monotonic())
        offsets = load.bursts(beyond_rpm, BURST, beyond_s)
        await load.offer(offsets, send, begins_at=beyond_at, ends_at=ends_at)

    answers, _, let_through = await asyncio.gather(
        within, beyond(), _let_through(mock, ends_at, minutes)
    )
    ledger = await mock.ledger()
    _tell_answers(found, answers, "230 rpm offered in bursts of 20")
    share = 100 * let_through / (minutes * KEYS * RPM)
    found.at_least(f"share of the pooled limit used in the last {minutes} min", share, 98, "%")
    most = max(line["window_max"]["requests"] for line in ledger.values())
    found.at_most("most requests of a key in any 60 s", most, RPM)
    found.tell("requests the provider refused", str(_rejected(ledger.values())))
    return found.all


async def pool_tpm(stage: Stage) -> list[Finding]:
    """4 keys with a token limit: never over it, and nobody refused below it."""
    found = Findings("pool-tpm")
    beyond_s, within_s = (66.0, 30.0) if stage.quick else (185.0, 120.0)
    # It counts and enforces nothing: what goes beyond is the relay's doing, and nothing tells it.
    mock = await stage.mock("free", "--gap-ms", "0", "--limit-headers", "off")
    relay = await stage.relay("beyond", providers=[provider(mock, KEYS, key_tpm_limit=TPM)])
    answers = await _crowd(relay.port, beyond_s)
    ledger = await mock.ledger()
    most = max(line["window_max"]["tokens"] for line in ledger.values())
    found.at_most("overshoot of any key's limit, 16 lanes without a pause", _over(most), 2, "%")
    found.at_least("keys used", len(ledger), KEYS)
    total = sum(line["input_tokens"] + line["output_tokens"] for line in ledger.values())
    share = 100 * total / (KEYS * TPM * (1 + beyond_s // WINDOW_S))
    found.tell("share of the pooled limit used", f"{share:.1f} %")
    found.tell("answers by status", _statuses(answers))
    relay.end()

    strict = await stage.mock("strict", "--gap-ms", "0", "--limits", f"tpm={TPM}")
    relay = await stage.relay("within", providers=[provider(strict, KEYS, key_tpm_limit=TPM)])
    answers = await _paced(relay.port, within_s, 0.7 * KEYS * TPM / WINDOW_S)
    _tell_answers(found, answers, "70 % of the pooled limit offered")
    found.tell("requests the provider refused", str(_rejected((await strict.ledger()).values())))
    return found.all


# ---- load


async def _crowd(port: int, seconds: float) -> list[Answer]:
    """More than the pool allows, for so long; a refused lane tries again soon."""
    dice = random.Random(7)
    ends_at = time.monotonic() + seconds

    async def send(lane: int) -> Answer:
        prompt, session = _sized(dice)
        answer = await ask(port, message(prompt, session=session), patience_s=30)
        if answer.status != 200:
            await asyncio.sleep(0.5)
        return answer

    return await load.lanes(16, send, ends_at=ends_at)


async def _paced(port: int, seconds: float, tokens_per_s: float) -> list[Answer]:
    """So many tokens a second, each request when its turn has come."""
    dice = random.Random(8)
    offsets, prompts, offset_s = [], [], 0.0
    while offset_s < seconds:
        prompt, session = _sized(dice)
        offsets.append(offset_s)
        prompts.append((prompt, session))
        offset_s += len(prompt) / BYTES_PER_TOKEN / tokens_per_s

    async def send(number: int) -> Answer:
        prompt, session = prompts[number]
        return await ask(port, message(prompt, session=session))

    return await load.offer(offsets, send, begins_at=time.monotonic())


def _sized(dice: random.Random) -> tuple[str, str]:
    """A prompt of 1k to 150k tokens with an answer of 50 to 3,000, and a conversation's id."""
    size = load.sizes(TOKENS_LEAST, TOKENS_MOST, dice) * BYTES_PER_TOKEN
    output = load.sizes(OUTPUT_LEAST, OUTPUT_MOST, dice)
    prompt = f"demo:deltas={output} " + "word " * (size // 5)
    return prompt, f"session-{dice.getrandbits(48):x}"


# ---- what came of it


async def _let_through(mock: Mock, ends_at: float, minutes: int) -> int:
    """Requests the provider let through in the last minutes before `ends_at`."""
    await asyncio.sleep(max(0.0, ends_at - minutes * WINDOW_S - time.monotonic()))
    before = await mock.requests()
    await asyncio.sleep(max(0.0, ends_at - time.monotonic()))
    return await mock.requests() - before


def _tell_answers(found: Findings, answers: list[Answer], what: str) -> None:
    found.exactly(f"{what}: 429s seen by clients", Counter(a.status for a in answers)[429], 0)
    wrong = [a for a in answers if not a.is_complete]
    found.exactly(f"{what}: answers not complete", len(wrong), 0)
    waits = sorted(a.first_at - a.asked_at for a in answers if a.has_content)
    if waits:
        half, most = waits[len(waits) // 2], waits[-1]
        text = f"{half:.2f} s / {most:.2f} s of {len(answers):,} requests"
        found.tell(f"{what}: time to content, median / longest", text)


def _over(tokens: int) -> float:
    return max(0.0, 100 * (tokens / TPM - 1))


def _rejected(lines: Iterable[dict[str, Any]]) -> int:
    return sum(line["rejected"] for line in lines)


def _statuses(answers: list[Answer]) -> str:
    counts = Counter(answer.status for answer in answers)
    return ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))
