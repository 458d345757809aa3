from tests.fuzz.fuzz_targets import run


def test_mutated_targets_and_names_are_treated_as_the_grammar_says() -> None:
    assert run(seconds=1.0, seed=1) > 100
