"""How fast a request body arrives: too slow to wait for, or too slow to hold a target meanwhile.

Every byte buys time: a body may be behind the least rate by `slow_s` seconds, and never has more
than that in hand. So a deadline follows from its size, and a burst does not pay for an hour.
"""

from libc.stdint cimport int64_t


cdef enum:
    PROMPT_BYTES = 32768       # of a body that goes to a provider while it arrives
    PROMPT_RATE = 65536        # bytes per second, to begin with
    FLOW_RATE = 16384          # bytes per second in every FLOW_S, to hold a target
    FLOW_S = 2


ctypedef struct BodyPace:
    double began_at
    double heard_at            # the last byte
    double slow_at             # from then on it is too slow
    double window_at           # since then `window_seen` was all there was
    int64_t window_seen


cdef inline void pace_begin(BodyPace* pace, double now, double slow_s) noexcept:
    """The head is here."""
    pace.began_at = pace.heard_at = pace.window_at = now
    pace.slow_at = now + slow_s
    pace.window_seen = 0


cdef inline void pace_add(
    BodyPace* pace, double now, Py_ssize_t n, double rate, double slow_s
) noexcept:
    """n bytes arrived."""
    pace.heard_at = now
    if rate > 0:
        pace.slow_at = min(now + slow_s, pace.slow_at + n / rate)


cdef inline void pace_again(BodyPace* pace, double now, int64_t seen, double slow_s) noexcept:
    """Reading goes on, which the relay had stopped."""
    pace.heard_at = pace.window_at = now
    pace.window_seen = seen
    pace.slow_at = now + slow_s


cdef inline bint pace_is_prompt(const BodyPace* pace, double now, int64_t seen) noexcept:
    """Whether it may go to a provider while it arrives."""
    return seen >= PROMPT_BYTES and seen >= PROMPT_RATE * (now - pace.began_at)


cdef inline bint pace_is_slow(
    const BodyPace* pace, double now, double idle_s, double rate
) noexcept:
    """Whether it has stopped, or comes below the least rate."""
    return now >= pace.heard_at + idle_s or (rate > 0 and now >= pace.slow_at)


cdef inline bint pace_stalls(BodyPace* pace, double now, int64_t seen) noexcept:
    """Whether too little came in the window that ends now, if one ends."""
    cdef bint stalls
    if now < pace.window_at + FLOW_S:
        return False
    stalls = seen - pace.window_seen < FLOW_RATE * (now - pace.window_at)
    pace.window_at = now
    pace.window_seen = seen
    return stalls


cdef inline double pace_due(const BodyPace* pace, double idle_s, double rate) noexcept:
    """When to look at it again."""
    cdef double at = min(pace.heard_at + idle_s, pace.window_at + FLOW_S)
    return min(at, pace.slow_at) if rate > 0 else at
