"""The hot floor: what runs per read, chunk and event, in Cython.

There is no slow twin to fall back on. A missing extension says how to build it.
"""

import importlib.util

if importlib.util.find_spec("ccrelay._fast.conn") is None:
    raise ImportError(
        "ccrelay's compiled modules are missing. Install a wheel (`pip install ccrelay-proxy`), "
        "or in a checkout build them: `pip install -e .` (needs a C compiler)."
    )
