import pytest

from ccrelay._fast.usage import Usage
from ccrelay.fleet import estimate
from ccrelay.fleet.estimate import Estimator
from ccrelay.types import OutputClass

STREAM = OutputClass.STREAM


def test_the_first_guess_errs_upwards() -> None:
    assert Estimator().of("m").tokens_in(3200) == 1000
    assert Estimator().of("m").tokens_in(0) == 1


def test_what_is_reported_corrects_the_next_guess() -> None:
    estimator = Estimator()
    for _ in range(60):
        estimator.learn(
            "m", 50_000, Usage(input=2_000, cache_read=7_000, cache_write_5m=1_000), STREAM
        )
    assert estimator.of("m").tokens_in(50_000) == pytest.approx(10_000, rel=0.01)
    assert estimator.of("other").tokens_in(3200) == 1000, "models are kept apart"


def test_guesses_rise_faster_than_they_fall() -> None:
    dense, thin = Estimator(), Estimator()
    dense.learn("m", 10_000, Usage(input=10_000), STREAM)
    thin.learn("m", 10_000, Usage(input=2_000), STREAM)
    before = Estimator().of("m").tokens_in(10_000)
    assert dense.of("m").tokens_in(10_000) - before > before - thin.of("m").tokens_in(10_000) > 0


def test_an_image_teaches_nothing_about_text() -> None:
    estimator = Estimator()
    estimator.learn("m", 4_000_000, Usage(input=2_000), STREAM)
    assert estimator.of("m").tokens_in(32_000) == 10_000


@pytest.mark.parametrize("usage", [Usage(), Usage(thinking=5)])
def test_reports_that_say_nothing_change_nothing(usage: Usage) -> None:
    estimator = Estimator()
    estimator.learn("m", 50_000, usage, STREAM)
    assert repr(estimator) == "<Estimator 0 models>"


def test_a_tiny_body_is_no_measure_of_bytes_per_token() -> None:
    estimator = Estimator()
    estimator.learn("m", 100, Usage(input=90), STREAM)
    assert estimator.of("m").tokens_in(3200) == 1000


def test_output_is_a_running_average_by_class() -> None:
    estimator = Estimator()
    assert estimator.of("m").tokens_out[STREAM] == estimate.OUTPUT_TOKENS
    for _ in range(80):
        estimator.learn("m", 1000, Usage(output=100), STREAM)
    assert estimator.of("m").tokens_out[STREAM] == pytest.approx(100, rel=0.05)
    assert estimator.of("m").tokens_out[OutputClass.WHOLE] == estimate.OUTPUT_TOKENS


def test_absurd_output_counts_as_the_most_a_model_gives() -> None:
    estimator = Estimator()
    for _ in range(200):
        estimator.learn("m", 1000, Usage(output=1 << 47), STREAM)
    assert estimator.of("m").tokens_out[STREAM] <= estimate.OUTPUT_TOKENS_MAX


def test_the_memory_of_models_is_bounded_and_the_oldest_goes() -> None:
    estimator = Estimator()
    for number in range(estimate.MODELS_MAX + 1):
        estimator.learn(f"m{number}", 10_000, Usage(input=5_000), STREAM)
    assert repr(estimator) == f"<Estimator {estimate.MODELS_MAX} models>"
    assert estimator.of("m0").tokens_in(3200) == 1000
    assert estimator.of(f"m{estimate.MODELS_MAX}").tokens_in(3200) > 1000
