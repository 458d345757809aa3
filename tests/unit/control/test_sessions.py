from pathlib import Path

import pytest

from ccrelay.control.session_file import SessionFile
from ccrelay.control.sessions import (
    CODE_S,
    CODES_MAX,
    RENEW_S,
    SESSION_S,
    SESSIONS_MAX,
    Sessions,
    SignedIn,
)
from tests.loopback.control.harness import Log

TOKEN = "t" * 43
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sessions(clock: Clock, folder: Path | None = None, token: str = TOKEN) -> Sessions:
    file = None if folder is None else SessionFile(folder, 8789, Log())
    made = Sessions(file, clock)
    made.use_token(token)
    return made


def signed_in(sessions: Sessions, *, is_read_only: bool = False) -> SignedIn:
    made = sessions.sign_in(sessions.new_code(is_read_only=is_read_only)[0])
    assert made is not None
    return made


def is_in(sessions: Sessions, one: SignedIn) -> bool:
    return sessions.find(one.cookie, one.page_key) is not None


# ---- codes


@pytest.mark.parametrize("is_read_only", [True, False])
def test_a_code_signs_in_once_with_its_right(clock: Clock, is_read_only: bool) -> None:
    ours = sessions(clock)
    code, ends_at = ours.new_code(is_read_only=is_read_only)
    assert ends_at == clock.now + CODE_S
    made = ours.sign_in(code)
    assert made is not None
    found = ours.find(made.cookie, made.page_key)
    assert found is made.session
    assert found.is_read_only == is_read_only
    assert ours.sign_in(code) is None
    assert is_in(ours, made)


def test_codes_and_secrets_are_long_and_all_different(clock: Clock) -> None:
    ours = sessions(clock)
    codes = [ours.new_code(is_read_only=False)[0] for _ in range(CODES_MAX)]
    made = [ours.sign_in(code) for code in codes]
    secrets = [*codes, *(s for one in made if one for s in (one.cookie, one.page_key))]
    assert len(set(secrets)) == 3 * CODES_MAX
    assert min(map(len, codes)) >= 22  # 128 bits in base64
    assert min(len(one.cookie) for one in made if one) >= 43


def test_a_code_ends(clock: Clock) -> None:
    ours = sessions(clock)
    code, _ = ours.new_code(is_read_only=False)
    clock.now += CODE_S
    assert ours.sign_in(code) is None


@pytest.mark.parametrize("code", ["", "x", "\udcff", "é" * 30])
def test_other_codes_sign_nobody_in(clock: Clock, code: str) -> None:
    ours = sessions(clock)
    ours.new_code(is_read_only=False)
    assert ours.sign_in(code) is None


def test_few_codes_are_outstanding(clock: Clock) -> None:
    ours = sessions(clock)
    codes = [ours.new_code(is_read_only=False)[0] for _ in range(CODES_MAX + 1)]
    assert ours.sign_in(codes[0]) is None
    assert all(ours.sign_in(code) for code in codes[1:])


def test_without_a_token_nobody_signs_in_and_the_code_is_kept(clock: Clock) -> None:
    ours = sessions(clock, token="")
    code, _ = ours.new_code(is_read_only=False)
    assert ours.sign_in(code) is None
    ours.use_token(TOKEN)
    assert ours.sign_in(code) is not None


# ---- what opens a session


def test_both_secrets_are_needed_and_have_to_belong_together(clock: Clock) -> None:
    ours = sessions(clock)
    one, other = signed_in(ours), signed_in(ours)
    assert is_in(ours, one)
    for cookie, key in (
        (one.cookie, other.page_key),
        (one.cookie, ""),
        (one.cookie, "1"),
        (one.cookie, one.cookie),
        (one.cookie, one.session.digest),
        ("", one.page_key),
        (one.page_key, one.page_key),
        (one.session.digest, one.page_key),
        (one.cookie, "é"),
        ("é", one.page_key),
    ):
        assert ours.find(cookie, key) is None


def test_a_session_that_is_not_used_ends(clock: Clock) -> None:
    ours = sessions(clock)
    one = signed_in(ours)
    clock.now += SESSION_S - 1
    assert is_in(ours, one)
    clock.now += 2  # it was prolonged
    assert is_in(ours, one)
    clock.now += SESSION_S
    assert not is_in(ours, one)
    assert not ours.is_valid(one.session)


def test_a_session_is_ended_for_all_who_hold_it(clock: Clock) -> None:
    ours = sessions(clock)
    one, other = signed_in(ours), signed_in(ours)
    ours.end(one.session)
    assert not is_in(ours, one)
    assert not ours.is_valid(one.session)
    assert is_in(ours, other)


def test_there_are_not_more_and_more_sessions(clock: Clock) -> None:
    ours = sessions(clock)
    made = []
    for _ in range(SESSIONS_MAX + 1):
        made.append(signed_in(ours))
        clock.now += 1
    assert [is_in(ours, one) for one in made] == [False] + [True] * SESSIONS_MAX
    assert made[0].session.is_over


# ---- what outlives the process


def test_the_next_process_knows_who_is_signed_in_and_which_codes_are_spent(
    clock: Clock, tmp_path: Path
) -> None:
    ours = sessions(clock, tmp_path)
    code, ends_at = ours.new_code(is_read_only=True)
    one = ours.sign_in(code)
    assert one is not None
    gone = signed_in(ours)
    ours.end(gone.session)
    later = sessions(clock, tmp_path)
    found = later.find(one.cookie, one.page_key)
    assert found is not None
    assert found.is_read_only
    assert not is_in(later, gone)
    later.add_code(code, ends_at, is_read_only=False)  # the supervisor tells each manager
    assert later.sign_in(code) is None


@pytest.mark.parametrize("is_told_first", [True, False])
def test_a_spent_code_is_refused_whenever_it_is_told(
    clock: Clock, tmp_path: Path, is_told_first: bool
) -> None:
    ours = sessions(clock, tmp_path)
    code, ends_at = ours.new_code(is_read_only=False)
    assert ours.sign_in(code)
    later = Sessions(SessionFile(tmp_path, 8789, Log()), clock)
    if is_told_first:
        later.add_code(code, ends_at, is_read_only=False)
    later.use_token(TOKEN)
    if not is_told_first:
        later.add_code(code, ends_at, is_read_only=False)
    assert later.sign_in(code) is None


def test_another_token_signs_everyone_out(clock: Clock, tmp_path: Path) -> None:
    ours = sessions(clock, tmp_path)
    one = signed_in(ours)
    ours.use_token("x" * 43)
    assert not is_in(ours, one)
    assert one.session.is_over
    assert not is_in(sessions(clock, tmp_path, "x" * 43), one)


def test_what_is_used_is_written_once_a_day(clock: Clock, tmp_path: Path) -> None:
    ours = sessions(clock, tmp_path)
    one = signed_in(ours)
    clock.now += RENEW_S - 1
    assert is_in(ours, one)
    clock.now += SESSION_S - RENEW_S
    assert is_in(ours, one)  # prolonged, and written
    clock.now += SESSION_S - 1
    assert is_in(sessions(clock, tmp_path), one)


def test_the_file_holds_no_secret(clock: Clock, tmp_path: Path) -> None:
    ours = sessions(clock, tmp_path)
    code, _ = ours.new_code(is_read_only=False)
    one = ours.sign_in(code)
    assert one is not None
    [file] = tmp_path.iterdir()
    text = file.read_text()
    assert one.session.digest in text
    for secret in (code, one.cookie, one.page_key, TOKEN):
        assert secret not in text


def test_a_session_from_the_future_is_not_believed(clock: Clock, tmp_path: Path) -> None:
    ours = sessions(clock, tmp_path)
    one = signed_in(ours)
    clock.now -= 2 * DAY
    assert not is_in(sessions(clock, tmp_path), one)
