# cython: language_level=3
"""Refusals of credentials, shared by all workers: how many in a row, when the next trial is due.

Two words of a target besides its cooldown (target.pxd), each changed by compare-and-swap: of
several workers one counts a refusal, and one makes the trial.
"""

cimport cython

from ccrelay._fast.rate_limits cimport REFUSED, TargetLimits
from ccrelay._fast.shared_memory cimport word_get, word_set, word_swap
from ccrelay._fast.target cimport DISABLED_WORD, T_COOLDOWN, T_REFUSALS, T_TRIAL
from ccrelay._fast.window cimport instant_us

cdef enum:
    DOUBLINGS_MAX = 20


@cython.final
@cython.no_gc            # it refers to TargetLimits, which refer to no refusals
cdef class Refusals:
    """See refusals.pyi."""

    def __cinit__(self, TargetLimits limits not None):
        self.limits = limits
        self.words = limits.target.words

    cpdef int64_t count(self):
        return word_get(self.words + T_REFUSALS)

    @property
    def due_at(self):
        return <double>(word_get(self.words + T_TRIAL) >> 1) / 1e6

    @property
    def in_trial(self):
        return self.disabled() and word_get(self.words + T_TRIAL) & 1 == 1

    def add(self, double now, double first_s, double longest_s):
        cdef int64_t trial = word_get(self.words + T_TRIAL)
        cdef int64_t before = word_get(self.words + T_REFUSALS)
        cdef double seconds
        if self.disabled() and not trial & 1 and trial >> 1 > instant_us(now):
            return 0.0
        if not word_swap(self.words + T_REFUSALS, before, before + 1):
            return 0.0
        seconds = min(first_s * <double>(1 << min(before, DOUBLINGS_MAX)), longest_s)
        word_set(self.words + T_TRIAL, instant_us(now + seconds) << 1)
        self.limits.start_cooldown(now, REFUSED)
        return seconds

    def claim(self, double now, double until):
        cdef int64_t trial = word_get(self.words + T_TRIAL)
        if not self.disabled() or not self.count() or trial >> 1 > instant_us(now):
            return False
        return word_swap(self.words + T_TRIAL, trial, instant_us(until) << 1 | 1) != 0

    def release(self):
        cdef int64_t trial = word_get(self.words + T_TRIAL)
        if trial & 1:
            word_swap(self.words + T_TRIAL, trial, 0)

    def clear(self):
        cdef int64_t before = word_get(self.words + T_REFUSALS)
        # The count first: of two workers that clear, one says so.
        cdef bint is_first = before > 0 and word_swap(self.words + T_REFUSALS, before, 0)
        word_set(self.words + T_TRIAL, 0)
        self.limits.clear_cooldown()
        return is_first != 0

    cdef bint disabled(self) noexcept:
        return word_get(self.words + T_COOLDOWN) == DISABLED_WORD

    def __repr__(self):
        return f"<Refusals {self.limits.slot} count={self.count()} due_at={self.due_at}>"
