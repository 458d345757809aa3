"""Rules as the configuration writes them, with how often they matched."""

import yaml

from ccrelay.config.model import Config, Provider, Routing
from ccrelay.config.model_routing import Rule, Use, When
from ccrelay.manager.rules import lines, rules_of
from ccrelay.store.rules import RuleCount
from ccrelay.store.schema import SEQ_SHIFT

RULES = [
    Rule(
        name="long",
        when=When(model=["claude-opus-*", "*, x"], tokens_over=60_000, images=False),
        use=Use(providers=["zai"], model="glm-5.3"),
    ),
    Rule(when=When(headers={"x-team": "*", "x-secret": "abc"}), use=Use(strategy="failover")),
    Rule(),
]
CONFIG = Config(providers=[Provider(name="zai", type="zai")], routing=Routing(rules=RULES))


def test_members_are_lines_of_yaml_that_mean_the_same() -> None:
    long, team, every = rules_of(CONFIG, {}).rules
    assert list(long.when) == [
        "model: [claude-opus-*, '*, x']",
        "tokens_over: 60000",
        "images: false",
    ]
    read = yaml.safe_load("\n".join(long.when))
    assert read == {"model": ["claude-opus-*", "*, x"], "tokens_over": 60_000, "images": False}
    assert list(long.use) == ["providers: [zai]", "model: glm-5.3"]
    assert list(team.use) == ["strategy: failover"]
    assert (list(every.when), list(every.use)) == ([], [])


def test_what_a_header_has_to_be_may_be_a_secret() -> None:
    text = str(rules_of(CONFIG, {}).rules[1].when)
    assert "abc" not in text
    assert "x-team: '*'" in text


def test_counts_go_to_the_rules_of_that_name() -> None:
    found = rules_of(
        CONFIG,
        {
            "long": RuleCount(3, 7 << SEQ_SHIFT, 500),
            "rules[1]": RuleCount(1, 9 << SEQ_SHIFT, 0),
            "gone": RuleCount(5, 1, 1),
            "": RuleCount(20),
        },
    )
    told = [(one.name, one.matched, one.last_matched_at_ms, one.cost_micros) for one in found.rules]
    assert told == [("long", 3, 7, 500), ("rules[1]", 1, 9, 0), ("rules[2]", 0, 0, 0)]
    assert found.unmatched == 20


def test_a_long_line_stays_one_line() -> None:
    (line,) = lines({"model": [f"model-{number}" for number in range(200)]})
    assert "\n" not in line
    assert yaml.safe_load(line) == {"model": [f"model-{number}" for number in range(200)]}
