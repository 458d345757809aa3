from ccrelay.runtime import backoff


def test_no_delay_at_first_then_doubling_up_to_one_second():
    assert [backoff.delay_s(exits) for exits in range(8)] == [0, 0, 0.1, 0.2, 0.4, 0.8, 1, 1]


def test_the_delay_does_not_overflow():
    assert backoff.delay_s(10_000_000) == backoff.DELAY_MAX_S


def test_the_longest_delay_can_be_another():
    assert [backoff.delay_s(exits, 30.0) for exits in (1, 2, 6, 10, 11, 99)] == [
        *(0, 0.1, 1.6, 25.6),
        *(30, 30),
    ]


def test_only_early_exits_count_as_consecutive():
    assert backoff.early_exits(0, 0.1) == 1
    assert backoff.early_exits(3, 4.9) == 4
    assert backoff.early_exits(3, 5.0) == 0
