"""The rules in force as the configuration writes them, one line for each member."""

from collections.abc import Mapping
from typing import Any

import yaml

from ccrelay.config.model import Config
from ccrelay.config.show import redacted
from ccrelay.store.rules import RuleCount
from ccrelay.store.schema import SEQ_SHIFT
from ccrelay.v1 import routing_pb2 as v1

_WIDTH = 1 << 30  # of a line: it is never folded


def rules_of(config: Config, counts: Mapping[str, RuleCount]) -> v1.ListRulesResponse:
    """The rules in order, each with how often it matched; values of headers are fingerprints.

    Args:
        config: in force.
        counts: by the name of the rule; the empty name: no rule matched.
    """
    nothing = RuleCount()
    rules = []
    for number, shown in enumerate(redacted(config)["routing"]["rules"]):
        name = shown.get("name") or f"rules[{number}]"  # as `routing.rules` names it
        count = counts.get(name, nothing)
        rules.append(
            v1.RuleInfo(
                name=name,
                when=lines(shown["when"]),
                use=lines(shown["use"]),
                matched=count.matched,
                last_matched_at_ms=count.last_seq >> SEQ_SHIFT,
                cost_micros=count.cost_micros,
            )
        )
    return v1.ListRulesResponse(rules=rules, unmatched=counts.get("", nothing).matched)


def lines(section: Mapping[str, Any]) -> list[str]:
    """The members of a section that are set, each as one line of YAML."""
    found = []
    for name, value in section.items():
        if value is None or value == [] or value == {}:
            continue
        text = yaml.safe_dump(
            {name: value},
            default_flow_style=True,
            allow_unicode=True,
            sort_keys=False,
            width=_WIDTH,
        )
        found.append(text.strip().removeprefix("{").removesuffix("}"))
    return found
