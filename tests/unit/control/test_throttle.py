from ccrelay.control.throttle import FORGET_S, WrongTokens


def test_each_wrong_token_costs_more() -> None:
    wrong = WrongTokens()
    delays = [wrong.add("a", 1.0 + number) for number in range(8)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert wrong.add("b", 9.0) == 0.1


def test_it_is_forgotten() -> None:
    wrong = WrongTokens()
    for number in range(5):
        wrong.add("a", float(number))
    assert wrong.add("a", 4.0 + FORGET_S) == 0.1


def test_addresses_are_bounded() -> None:
    wrong = WrongTokens(addresses_max=3)
    for number in range(100):
        wrong.add(str(number), 1.0)
    assert len(wrong) == 3


def test_many_do_not_overflow() -> None:
    wrong = WrongTokens()
    assert [wrong.add("a", 1.0) for _ in range(2000)][-1] == 2.0
