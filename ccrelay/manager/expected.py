"""What today will have cost, by what was spent until now.

With at least `DAYS_MIN` days of the last `DAYS` on which anything was spent: what was spent today,
and what those days cost after this time of day on average, more or less as today is ahead of them
or behind. Without them: from `HOURS_MIN` hours after midnight on as much per hour as until now.
Before that, and on a day without cost, it is not known.
"""

from collections.abc import Mapping

from ccrelay.store.zones import DAY_S, HOUR_S, Zone, day_start_s

DAYS = 14
DAYS_MIN = 3
HOURS_MIN = 6
PACE_MIN, PACE_MAX = 0.25, 4.0  # one early request does not make a day


def expected_micros(costs: Mapping[int, int], now_s: int, zone: Zone) -> int:
    """The expected cost of today, micro-dollars; 0: not known.

    Args:
        costs: cost of each UTC hour since 1970, today's among them.
        now_s: seconds since 1970.
        zone: local time.
    """
    start_s = day_start_s(zone, now_s)
    spent = sum([cost for hour, cost in costs.items() if start_s <= hour * HOUR_S <= now_s])
    if spent <= 0:
        return 0
    days: dict[int, list[int]] = {}  # until this time of day, and after it
    for hour, cost in costs.items():
        at = hour * HOUR_S
        if at < start_s and cost > 0:
            day = (at + zone(at)) // DAY_S
            of_day = at + zone(at) - day * DAY_S
            is_after = of_day > now_s - start_s
            days.setdefault(day, [0, 0])[is_after] += cost
    if len(days) >= DAYS_MIN:
        before = sum([part[0] for part in days.values()]) / len(days)
        after = sum([part[1] for part in days.values()]) / len(days)
        pace = min(max(spent / before, PACE_MIN), PACE_MAX) if before else 1.0
        return round(spent + after * pace)
    gone_s = now_s - start_s
    return round(spent * DAY_S / gone_s) if gone_s >= HOURS_MIN * HOUR_S else 0
