# cython: language_level=3
"""Keeps a process's memory, which holds keys, from other processes of its user and from core files.

A process with PR_SET_DUMPABLE 0 (prctl(2), Linux) dumps no core, not even to a pipe of
core_pattern, which RLIMIT_CORE does not stop; its /proc files belong to root, its environment
among them; and ptrace needs CAP_SYS_PTRACE. An exec sets the flag again: every process does this
for itself.
"""

cdef extern from *:
    """
    #ifdef __linux__
    #include <sys/prctl.h>
    static int cc_set_dumpable(int on) { return prctl(PR_SET_DUMPABLE, on, 0, 0, 0); }
    static int cc_get_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }
    #else
    static int cc_set_dumpable(int on) { (void)on; return 0; }
    static int cc_get_dumpable(void) { return 1; }
    #endif
    """
    int cc_set_dumpable(int on) nogil
    int cc_get_dumpable() nogil


def set_dumpable(bint on):
    """Set the flag; does nothing where there is none. True when the system accepted it."""
    return cc_set_dumpable(on) == 0


def is_dumpable():
    """Whether the process may be dumped and traced by its user; True where there is no flag."""
    return cc_get_dumpable() != 0
