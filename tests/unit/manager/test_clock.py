from ccrelay.manager.clock import Clock


class Times:
    def __init__(self) -> None:
        self.mono = 1000.0
        self.wall = 1_700_000_000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.mono, lambda: self.wall)


def test_an_instant_is_the_same_each_time_while_the_clocks_agree() -> None:
    times = Times()
    clock = times.clock()
    first = clock.ms(1010.0)
    assert first == 1_700_000_010_000
    times.mono += 5.0003
    times.wall += 5.0
    assert clock.ms(1010.0) == first


def test_a_clock_that_was_set_is_followed() -> None:
    times = Times()
    clock = times.clock()
    times.wall += 3600
    assert clock.ms(1010.0) == 1_700_003_610_000


def test_none_and_never_are_zero() -> None:
    clock = Times().clock()
    assert clock.ms(0.0) == clock.ms(float("inf")) == clock.ms(-1.0) == 0
    assert clock.now() == 1000.0
    assert clock.now_ms() == 1_700_000_000_000
