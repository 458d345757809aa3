"""Asks one provider something, now, and says in words what came.

    asker (sends) -> verdict (judges: pure)

For the first run, the manager's probes and `ccrelay doctor`: who asks decides what is asked, and
when; what an answer means is the same for all.
"""
