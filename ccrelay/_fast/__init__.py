"""The hot path in Cython: what runs per read, chunk and event.

There is no pure Python fallback; without the extensions the import fails with build instructions.
"""

import importlib.util

if importlib.util.find_spec("ccrelay._fast.conn") is None:
    raise ImportError(
        "ccrelay's compiled modules are missing. Install a wheel (`pip install ccrelay-proxy`), "
        "or in a checkout build them: `pip install -e .` (needs a C compiler)."
    )
