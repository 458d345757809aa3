from tests.fuzz.fuzz_http1 import run


def test_mutated_messages_parse_like_the_reference() -> None:
    assert run(seconds=1.0, seed=1) > 100
