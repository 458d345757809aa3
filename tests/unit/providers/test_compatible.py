from collections.abc import Callable

import pytest

from ccrelay.config.model import Provider
from ccrelay.providers.compatible import CompatibleDialect
from ccrelay.types import RequestClass

Make = Callable[..., Provider]

BODY = (
    b'{"model":"a","tools":[{"type":"custom","name":"n","input_schema":{"max":1.0}}],'
    b'"messages":[{"role":"system","content":"s"}]}'
)


@pytest.mark.parametrize(
    ("system_role", "custom", "rewrites"),
    [
        ("keep", "keep", False),
        ("user", "keep", True),
        ("keep", "drop", True),
        ("user", "drop", True),
    ],
)
def test_a_body_is_decoded_only_when_a_setting_requires_it(
    make: Make, system_role: str, custom: str, rewrites: bool
) -> None:
    dialect = CompatibleDialect(make(system_role=system_role, tool_type_custom=custom))
    assert dialect.needs_rewrite("a") is rewrites


def test_only_the_custom_type_is_dropped(make: Make) -> None:
    dialect = CompatibleDialect(make(tool_type_custom="drop"))
    rewritten = dialect.rewrite(BODY, "a", RequestClass.MESSAGES)
    assert rewritten == BODY.replace(b'"type":"custom",', b"")


def test_the_custom_type_stays_by_default(make: Make) -> None:
    dialect = CompatibleDialect(make(system_role="user"))
    rewritten = dialect.rewrite(BODY, "a", RequestClass.MESSAGES)
    assert b'"type":"custom"' in rewritten
    assert b'"role":"system"' not in rewritten


def test_a_body_without_tools_stays_without(make: Make) -> None:
    dialect = CompatibleDialect(make(tool_type_custom="drop"))
    assert dialect.rewrite(b'{"x":1.0}', "a", RequestClass.MESSAGES) == b'{"x":1.0,"model":"a"}'
