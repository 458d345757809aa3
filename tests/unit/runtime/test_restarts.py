from ccrelay.runtime import restarts


def test_the_first_replacement_starts_at_once_then_pauses_double_up_to_a_second():
    assert [restarts.pause_s(deaths) for deaths in range(8)] == [0, 0, 0.1, 0.2, 0.4, 0.8, 1, 1]


def test_a_slot_that_fails_for_days_still_has_a_pause():
    assert restarts.pause_s(10_000_000) == restarts.PAUSE_MAX_S


def test_only_workers_that_lived_shortly_count_in_a_row():
    assert restarts.quick_deaths(0, 0.1) == 1
    assert restarts.quick_deaths(3, 4.9) == 4
    assert restarts.quick_deaths(3, 5.0) == 0
