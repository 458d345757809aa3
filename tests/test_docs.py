"""Compares the documentation with the sources.

Examples run through the real command line; tables are compared with the code that they describe.
A failure names the page, and the row to add, change or remove.
"""

import importlib
import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from msgspec.structs import fields

from ccrelay import __version__
from ccrelay.cli.main import cli
from ccrelay.config import model
from ccrelay.config.presets import BY_TYPE, PRESETS
from tests.pages import DOCS, FENCE, PAGES, ROOT, fences, rows, section, text_of
from tests.parity import test_http1_judges as judges

# ---- examples

EXAMPLES = [(name, suffix, text) for name, suffix, text in fences("yaml", "toml")]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which every `${...}` of the examples has a value."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    for name, _, text in EXAMPLES:
        for variable in re.findall(r"\$\{([A-Z_]+)\}", text):
            monkeypatch.setenv(variable, f"test-key-{variable.lower()}")
        for path in re.findall(r"\$\{file:~/([^}]+)\}", text):
            secret = tmp_path / path
            secret.parent.mkdir(parents=True, exist_ok=True)
            secret.write_text(f"test-key-of-{name}")
            secret.chmod(stat.S_IRUSR | stat.S_IWUSR)
        for kind, path in re.findall(r"tls_(cert|key): ~/(\S+)", text):
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            what = "CERTIFICATE" if kind == "cert" else "PRIVATE KEY"
            file.write_text(f"-----BEGIN {what}-----\n")  # whether it is one is asked at the start
            file.chmod(stat.S_IRUSR | stat.S_IWUSR)
        for path in re.findall(r"\{file: (?:~/)?([\w.-]+\.json)\}", text):
            account = tmp_path / path
            account.write_text('{"type": "service_account"}')
            account.chmod(stat.S_IRUSR | stat.S_IWUSR)
        for command in re.findall(r"\$\{cmd:(\w+)", text):
            program = programs / command
            program.write_text("#!/bin/sh\necho test-key-of-a-program\n")
            program.chmod(0o700)
    return tmp_path


@pytest.mark.parametrize(("name", "suffix", "text"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_an_example_is_a_configuration_that_passes_the_check(
    sources: Path, name: str, suffix: str, text: str
) -> None:
    file = sources / f"example.{suffix}"
    file.write_text(text)
    result = CliRunner().invoke(cli, ["config", "check", "--config", str(file)])
    assert result.exit_code == 0, result.output


def test_the_readme_shows_a_configuration() -> None:
    assert any(name.startswith("README") for name, _, _ in EXAMPLES)


def test_the_mistake_shown_is_reported_in_the_words_shown(tmp_path: Path) -> None:
    shown = re.search(r"```text\nccrelay.yaml(:.*)\n```", text_of("getting-started.md"))
    assert shown
    file = tmp_path / "ccrelay.yaml"
    file.write_text("providers:\n  - name: anthropic\n    type: anthropic\n    wieght: 2\n")
    result = CliRunner().invoke(cli, ["config", "check", "--config", str(file)])
    assert f"{file}{shown[1]}" in result.output.splitlines()


# ---- command line


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(cli))


def options_of(command: click.Command) -> set[str]:
    return {name for param in command.params for name in param.opts if name.startswith("--")}


GROUPS = {name.rpartition(" ")[0] for name in COMMANDS} - {""}


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Every call of ccrelay in the shell blocks and in the indented blocks of the pages."""
    for page in PAGES:
        text = page.read_text()
        blocks = [match[2] for match in FENCE.finditer(text) if match[1] in ("sh", "ini")]
        blocks += re.findall(r"^ {4}(ccrelay .*)$", text, re.MULTILINE)
        for line in "\n".join(blocks).splitlines():
            for part in re.split(r"&&|\|", line):
                call = part.strip().removeprefix("ExecStart=")
                if re.match(r"(\S*/)?ccrelay\s", call):
                    yield page.name, shlex.split(call, comments=True)[1:]


# Commands that the pages show and that are being built; remove what exists.
COMING: set[str] = set()


def test_no_command_that_exists_is_called_coming() -> None:
    assert COMING & COMMANDS.keys() == set()


def test_every_command_shown_exists_with_its_options() -> None:
    shown = [(page, words) for page, words in shown_commands() if words[0] not in COMING]
    assert len(shown) > 10
    for page, words in shown:
        if words[0].startswith("-"):
            continue
        name = " ".join(words[:2]) if words[0] in GROUPS else words[0]
        if words[0] in GROUPS and not words[1:]:
            continue  # a group that shows something by itself
        assert name in COMMANDS, f"{page}: ccrelay {' '.join(words)}"
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options_of(COMMANDS[name]), f"{page}: ccrelay {' '.join(words)}"


def test_the_explanation_shown_is_what_the_command_prints(sources: Path) -> None:
    page = section(text_of("routing.md"), "## Rules")
    [(configuration, shown)] = zip(
        [match[2] for match in FENCE.finditer(page) if match[1] == "yaml"][:1],
        [match[2] for match in FENCE.finditer(page) if match[1] == "text"],
        strict=True,
    )
    file = sources / "rules.yaml"
    file.write_text(configuration)
    command = ["route", "explain", "--model", "claude-opus-5-5", "--class", "background"]
    result = CliRunner().invoke(cli, [*command, "--config", str(file)])
    fingerprint = re.compile(r"hmac:\w+")
    printed = fingerprint.sub("hmac:", result.output)
    assert printed.strip() == fingerprint.sub("hmac:", shown).strip(), "docs/routing.md"


def test_the_names_that_mock_offers_to_tests_exist() -> None:
    shown = re.findall(r"^    from ([\w.]+) import (\w+)$", text_of("mock.md"), re.MULTILINE)
    assert shown
    for module, name in shown:
        assert hasattr(importlib.import_module(module), name), f"docs/mock.md: {module}.{name}"


# ---- configuration


STRUCTS = {
    "server": model.Server,
    "server.auth": model.Auth,
    "server.limits": model.Limits,
    "server.timeouts": model.ServerTimeouts,
    "routing": model.Routing,
    "routing.timeouts": model.UpstreamTimeouts,
    "routing.rules[]": model.Rule,
    "routing.rules[].when": model.When,
    "routing.rules[].use": model.Use,
    "routing.affinity": model.Affinity,
    "routing.retry_budget": model.RetryBudget,
    "providers[].prices.*": model.Price,
    "providers[]": model.Provider,
    "providers[].keys[]": model.Key,
    "providers[].models[]": model.Model,
    "health": model.Health,
    "logging": model.Logging,
}


@pytest.mark.parametrize("place", STRUCTS)
def test_every_setting_has_its_row_or_a_heading(place: str) -> None:
    page = text_of("configuration.md")
    headings = re.findall(r"^## `(.*)`$", page, re.MULTILINE)
    inner = [heading.removeprefix(f"{place}.") for heading in headings if place in heading]
    below = {re.split(r"[.\[]", heading)[0] for heading in inner}
    shown = section(page, f"## `{place}`")
    named = re.findall(r"^- `(\w+)`(?: \([^)]*\))?: \S", shown, re.MULTILINE)
    wanted = [field.encode_name for field in fields(STRUCTS[place])]
    assert [name for name in wanted if name in named or name not in below] == named


@pytest.mark.parametrize("struct", [model.Limits, model.ServerTimeouts, model.UpstreamTimeouts])
def test_every_limit_is_listed_with_its_default(struct: type) -> None:
    shown = text_of("configuration.md").splitlines()
    for field in fields(struct):
        default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        start = f"- `{field.encode_name}`" + (f" (`{default}`)" if default != "None" else "") + ": "
        assert any(line.startswith(start) for line in shown), start


def test_every_type_and_preset_of_provider_is_described() -> None:
    first = " ".join(row.split("|")[1] for row in rows(text_of("providers.md")))
    clouds = " ".join(row.split("|")[1] for row in rows(text_of("clouds.md")))
    for name in (*BY_TYPE, *PRESETS):
        assert f"`{name}`" in first, name
    for name, service in BY_TYPE.items():
        assert f"`{name}`" in clouds or service.base_url or name == "compatible", name


# ---- HTTP


def difference_table(listed: list[tuple[str, str, str]]) -> str:
    """The rows of tests/parity/README.md for one of the judges' lists."""
    lines = ["| why | parsers that think otherwise | messages |", "|---|---|---|"]
    for reason, others, names in listed:
        messages = ", ".join(f"`{name}`" for name in names.split())
        lines.append(f"| {reason} | {', '.join(others.split())} | {messages} |")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("title", "listed"),
    [
        ("refused requests", judges.WE_REFUSE),
        ("refused responses", judges.WE_REFUSE_RESPONSES),
        ("accepted requests", judges.WE_ACCEPT),
    ],
)
def test_the_differences_to_other_parsers_are_those_that_are_tested(
    title: str, listed: list[tuple[str, str, str]]
) -> None:
    shown = re.search(
        rf"<!-- begin: {title} -->\n(.*?)\n?<!-- end: {title} -->",
        (ROOT / "tests" / "parity" / "README.md").read_text(),
        re.DOTALL,
    )
    assert shown
    assert shown[1].strip() == difference_table(listed)


# ---- all pages


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    text = FENCE.sub("", page.read_text())
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        plain_text = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain_text.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def named_pages() -> Iterator[tuple[str, str]]:
    """Every place in the sources that names a page, in a text for users or in a comment."""
    folders = ("ccrelay", "proto", "tests", "bench", ".ci")
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            is_source = path.suffix in {".py", ".pyx", ".pxd", ".proto", ".ts", ".tsx"}
            if is_source and "node_modules" not in path.parts:
                for name in re.findall(r"\bdocs/[\w/-]+\.md(?:#[\w-]+)?", path.read_text()):
                    yield str(path.relative_to(ROOT)), name


NAMED_PAGES = list(named_pages())


def test_every_page_that_the_sources_name_exists() -> None:
    assert len(NAMED_PAGES) > 20
    for place, name in NAMED_PAGES:
        file, _, anchor = name.partition("#")
        assert (ROOT / file).exists(), f"{place}: {name}"
        assert not anchor or anchor in anchors(ROOT / file), f"{place}: {name}"


README = (ROOT / "README.md").read_text()
WORDS_MAX = 20_000


def test_the_readme_shows_every_page() -> None:
    shown = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", README))
    assert shown == {page.name for page in DOCS.glob("**/*.md")}


def test_the_readme_begins_with_a_picture_and_three_commands() -> None:
    [start] = [match[2] for match in FENCE.finditer(README) if "ccrelay claude" in match[2]]
    assert [line.partition("#")[0].strip() for line in start.splitlines()] == [
        "pip install ccrelay-proxy",
        "ccrelay init",
        "ccrelay claude",
    ]
    assert README.index("<picture>") < README.index(start)


def test_the_pictures_of_the_readme_are_there() -> None:
    pictures = re.findall(r'src(?:set)?="([^"]+)"', README)
    assert len(pictures) == 2
    for picture in pictures:
        assert Path(picture).parent == Path("docs/pictures")
        assert (ROOT / picture).exists() or not (DOCS / "pictures").exists(), picture


def test_the_figures_of_the_readme_are_those_of_the_bench() -> None:
    why = section(README, "## Why")
    measured = (ROOT / "bench" / "README.md").read_text()
    figures = re.findall(r"\d[\d.]* (?:k|rpm)\b", why)
    assert figures
    assert [figure for figure in figures if figure not in measured] == []


def test_the_documentation_is_short() -> None:
    pages = [README, *(page.read_text() for page in DOCS.glob("**/*.md"))]
    words = sum(len(page.split()) for page in pages)
    assert words < WORDS_MAX, f"README.md and docs have {words} words: say it once, or leave it out"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    queue = [ROOT / "README.md"]
    while queue:
        page = queue.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text()):
            if not re.match(r"[a-z]+:", target):
                queue.append((page.parent / target).resolve())
    assert set(PAGES) - {ROOT / "proto" / "README.md"} <= seen


def test_the_newest_release_in_the_changelog_is_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [version for version in versions if version != "Unreleased"]
    assert released[0] == __version__
    assert "Unreleased" not in versions[1:]


RENAMED_SETTINGS = re.findall(
    r"^\| `((?:server|routing|health)\.\w+)` \| `([\w.]+)` \|",
    (ROOT / "CHANGELOG.md").read_text(),
    re.MULTILINE,
)


@pytest.mark.parametrize(("old", "new"), RENAMED_SETTINGS)
def test_the_check_rejects_a_setting_by_its_old_name(tmp_path: Path, old: str, new: str) -> None:
    group, _, key = old.partition(".")
    file = tmp_path / "ccrelay.yaml"
    provider = "providers: [{name: a, type: anthropic}]"
    file.write_text(f"{group}: {{{key}: 1}}\n{provider}\n")
    result = CliRunner().invoke(cli, ["config", "check", "--config", str(file)])
    assert result.exit_code == 2
    assert f"{old}: unknown key" in result.output
    file.write_text(f"{group}: {{{new.removeprefix(group + '.')}: 1}}\n{provider}\n")
    result = CliRunner().invoke(cli, ["config", "check", "--config", str(file)])
    assert result.exit_code == 0, result.output


def test_the_licence_is_the_one_that_is_declared() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
