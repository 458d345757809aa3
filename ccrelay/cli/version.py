"""`ccrelay version`: versions and platform, for bug reports."""

import platform

import click

from ccrelay import __version__


@click.command()
def version() -> None:
    """Show versions and platform."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    click.echo(f"ccrelay  {__version__}")
    click.echo(f"python   {python}")
    click.echo(f"platform {platform.system()} {platform.release()} {platform.machine()}")
    click.echo(f"simd     {_simd()}")
    click.echo(f"tls      {_tls()}")


def _simd() -> str:
    try:
        from ccrelay._fast import json
    except ImportError as error:
        return f"unknown, cannot import the extension: {error}"
    return "on" if json.simd() else "off"


def _tls() -> str:
    try:
        from ccrelay._fast import libssl
    except ImportError as error:
        return f"unknown, cannot import the extension: {error}"
    reason = libssl.reason()
    return f"Python's ssl ({reason})" if reason else "libssl of Python, called directly"
