"""The first configuration: what this machine has, whether it works, and the file that says so.

    detect -> check (asks a provider) -> write (keys, then the file)

For `ccrelay init`, which needs no relay, and for the service Setup of the manager. The environment
is an argument everywhere: that of the manager has no keys, so it asks the supervisor for it.
"""
