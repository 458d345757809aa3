"""The C programs, compiled on first use, and the certificates, made for each run."""

import platform
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
UPSTREAM, LOADGEN, SPIN = HERE / "upstream", HERE / "loadgen", HERE / "spin"


def build() -> bool:
    """Compile what is missing or older than its source; return whether the upstream has TLS."""
    newest = max(source.stat().st_mtime for source in HERE.glob("*.[ch]"))
    flags = ["-O2", "-msse4.2"] if platform.machine() in ("x86_64", "AMD64") else ["-O2"]
    if not _is_fresh(LOADGEN, newest):
        _compile(LOADGEN, flags, ["-lm"])
    if not _is_fresh(SPIN, newest):
        _compile(SPIN, ["-O1"], [])
    if not (_is_fresh(UPSTREAM, newest) and _has_tls()):
        try:
            _compile(UPSTREAM, [*flags, "-DTLS"], ["-lssl", "-lcrypto"])
        except SystemExit:
            _compile(UPSTREAM, flags, [])
    return _has_tls() and shutil.which("openssl") is not None


def _is_fresh(program: Path, newest: float) -> bool:
    return program.exists() and program.stat().st_mtime >= newest


def _has_tls() -> bool:
    said = subprocess.run([UPSTREAM, "-v"], capture_output=True, text=True, check=True)
    return said.stdout.strip() == "tls"


def _compile(program: Path, flags: list[str], libraries: list[str]) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("bench: no C compiler: install the package gcc (or clang)")
    command = [compiler, *flags, "-o", str(program), f"{program}.c", *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: cannot compile {program.name}.c:\n{done.stderr[-2000:]}")


def make_certificates(folder: Path) -> None:
    """`ca.pem` and, signed by it, `server.pem` and `server.key` for localhost and 127.0.0.1."""
    _issue(folder, "ca", "/CN=ccrelay bench CA", "-extensions", "ca")
    signed = ("-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key")
    _issue(folder, "server", "/CN=localhost", "-extensions", "server", *signed)


def _issue(folder: Path, name: str, subject: str, *more: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-config", f"{HERE}/tls.cnf", "-subj", subject]
    command += ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: openssl cannot make a certificate:\n{done.stderr[-2000:]}")
