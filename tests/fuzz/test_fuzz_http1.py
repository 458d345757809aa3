from tests.fuzz.fuzz_http1 import run


def test_a_second_of_mutations_shows_no_difference_to_the_reference() -> None:
    assert run(seconds=1.0, seed=1) > 100
