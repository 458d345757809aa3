import pytest

from ccrelay.config.load import demo_config
from ccrelay.config.problems import ConfigError
from ccrelay.runtime.launch import Options, overridden

CONFIG = demo_config("http://127.0.0.1:9")


def test_without_flags_the_configuration_stands():
    assert overridden(CONFIG, Options()) == CONFIG


def test_flags_replace_what_they_name():
    options = Options(listen="[::1]:1", workers=3, log_format="json", log_level="debug")
    changed = overridden(CONFIG, options)
    assert (changed.server.listen, changed.server.workers) == ("[::1]:1", 3)
    assert (changed.logging.format, changed.logging.level) == ("json", "debug")
    assert changed.providers == CONFIG.providers


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "[::]:8787", "relay.example:8787", "8787"])
def test_a_flag_cannot_open_the_relay_to_everyone(listen):
    with pytest.raises(ConfigError, match=r"server\.listen"):
        overridden(CONFIG, Options(listen=listen))
