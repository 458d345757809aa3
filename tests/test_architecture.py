"""The house rules that can be read off the sources: floors, sizes, stubs, a test file per module.

`FLOORS` and `BESIDE` are the table of docs/architecture.md. Everything here reads files; only the
comparison of stubs with their extensions imports anything.
"""

import ast
import importlib
import importlib.machinery
import inspect
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ccrelay"
FAST = PACKAGE / "_fast"
# As setup.py has it: modules in pure Python mode were left uncompiled.
PURE = bool(os.environ.get("CCRELAY_PURE"))

# From the ground up: a room may import the rooms below it.
FLOORS = (
    ("_fast",),
    ("errors", "types", "printable", "money", "metrics", "v1"),
    ("wire", "config", "providers", "fleet", "ledger", "routing"),
    ("upstream", "probing"),
    ("relay",),
    ("runtime", "demo", "store", "telemetry", "control", "manager", "credentials", "first_run"),
    ("cli", "tui"),
)
# What a room may import of its own floor; a dotted name is that module only.
BESIDE = {
    "wire": {"config.model"},
    "providers": {"wire", "config.model", "config.cloud"},
    "fleet": {"providers", "wire", "config.model", "config.fingerprint"},
    "ledger": {"config.model"},
    "routing": {
        *("fleet", "providers", "wire", "ledger.pricing"),
        *("ledger.prices", "ledger.record", "ledger.tariff"),
        *("config.model", "config.fingerprint"),
    },
    "probing": {"upstream"},
    "runtime": {"demo"},
    "control": {"upstream.tasks"},
    "credentials": {
        *("runtime.channel", "runtime.control", "runtime.credentials_link"),
        *("runtime.hardening", "runtime.processes"),
    },
    "tui": {"cli"},
    "manager": {
        *("control", "first_run", "store", "telemetry"),
        *("runtime.channel", "runtime.control", "runtime.hardening", "runtime.logs"),
        *("runtime.manager_link", "runtime.processes"),
    },
}
# Rooms that may import less than everything below them.
ONLY = {
    "_fast": set[str](),
    "errors": set[str](),
    "types": {"_fast"},
    "demo": {"errors", "types"},
    "v1": set[str](),
    "first_run": {
        *("_fast", "errors", "money", "types", "printable"),
        *("config", "ledger", "probing", "providers"),
    },
    "store": {"errors", "types", "ledger", "config", "printable"},
    "telemetry": {"errors", "types", "metrics", "ledger", "config"},
    "control": {
        *("errors", "types", "printable", "v1"),
        *("config.atomic_file", "config.ownership", "config.files", "config.places"),
    },
    "cli": {"config", "errors", "money", "types", "printable", "control.client", "first_run", "v1"},
    "tui": {"config", "errors", "money", "types", "printable", "control.client", "v1"},
}
# Doors between rooms, or to one module of a room, that are open to one module.
DOORS = {
    ("cli.serve", "runtime"),  # hands over
    ("cli.config", "runtime.source"),  # checks what `serve` would load
    ("cli.doctor_config", "runtime.source"),  # as `config check`
    ("cli.doctor_config", "runtime.provider_check"),  # asks providers when no relay runs
    ("cli.mock", "demo"),  # hands over
    ("cli.route", "routing"),  # asks what would be chosen
    ("cli.version", "_fast"),  # tells which scanner runs
    ("runtime.worker", "relay"),
}
CLOSED = {
    ("runtime", "relay"),
    ("manager", "relay"),
    ("credentials", "relay"),
}  # but for the door above: a supervisor carries no data plane

# The outside world: clocks, chance, sockets, disk, processes. Words and machines are told of it.
OUTSIDE = frozenset(
    {
        *("asyncio", "uvloop", "socket", "ssl", "select", "selectors"),
        *("time", "random", "secrets", "uuid"),
        *("logging", "os", "pathlib", "shutil", "tempfile"),
        *("signal", "subprocess", "threading"),
    }
)
MAY_GO_OUT = {
    "config.atomic_file": {"os", "pathlib"},  # writes files
    "config.cloud_environment": {"os"},  # looks whether files of credentials can be read
    "config.keychain": {"os", "pathlib", "subprocess"},  # starts the process that asks it
    "config.keychain_child": {"os"},  # that process
    "config.load": {"os", "pathlib"},  # reads the file and the environment
    "config.fingerprint_key": {"os", "pathlib"},  # a file that is made once
    "config.places": {"os", "pathlib"},  # names folders
    "config.sources": {"os", "pathlib", "selectors", "signal", "subprocess", "time"},
    "config.files": {"os", "pathlib"},  # opens what `config.ownership` has judged
    "config.trust": {"os", "pathlib"},  # keeps the record of confirmations
}
# `random.Random` as the type of an argument; who calls brings the chance.
MAY_NAME_RANDOM = {
    "fleet.breaker",
    "fleet.provider_state",
    "routing.router",
    "routing.trials",
    "routing.strategies",
}
# Brings `time.time` for what providers say in instants of the wall clock.
MAY_BRING_THE_WALL_CLOCK = {"relay.server"}
# Never in a worker or in the supervisor, only in rooms of the manager.
HEAVY_ROOMS = frozenset({"v1", "control", "store", "telemetry", "manager"})
# Libraries of the clouds: only where a credential is obtained.
OF_CLOUDS = frozenset(
    {"botocore", "boto3", "google.auth", "google.oauth2", "azure", "msal", "requests"}
)
THEIR_MODULES = {"credentials.aws", "credentials.google", "credentials.azure"}
# Only in the dashboard: Textual is an extra, and slow to import.
OF_TERMINALS = frozenset({"textual", "rich"})
DRAW_WITH_THEM = {"tui.app", "tui.palette"}
NEVER = frozenset({"grpc", "sqlite3", "boto3", "google", "prometheus_client", "opentelemetry"})

PY_LINES_MAX = 450
PYX_LINES_MAX = 550
FUNCTION_LINES_MAX = 60

# Modules whose tests go by another name. Of `_fast`, those that have no call from Python or need a
# socket are tested over real ones, in the shells that use them.
TESTED_BY = {
    "_fast.json_items": "tests/parity/test_json.py",
    "providers.bridge_rows": "tests/unit/providers/test_bridge_table.py",
    "ledger.running": "tests/unit/manager/test_running.py",
    "relay.exchange_preparing": "tests/loopback/relay/test_large_bodies.py",
    "relay.exchange_bridging": "tests/loopback/clouds/test_requests.py",
    "relay.exchange_mending": "tests/loopback/clouds/test_learning.py",
    "_fast.body": "tests/loopback/relay/test_bodies.py",
    "_fast.client_body": "tests/loopback/relay/test_slow_bodies.py",
    "_fast.client_conn": "tests/loopback/relay/test_turns.py",
    "_fast.conn": "tests/loopback/relay/test_exactness.py",
    "_fast.downstream": "tests/loopback/relay/test_safety.py",
    "_fast.hardening": "tests/unit/runtime/test_hardening.py",
    "_fast.handlers": "tests/loopback/relay/test_exactness.py",
    "_fast.key_pool": "tests/unit/fast/test_rate_limits.py",
    "_fast.log_line": "tests/unit/runtime/test_logs.py",
    "_fast.outgoing": "tests/loopback/relay/test_exactness.py",
    "_fast.response_writer": "tests/parity/test_fakes.py",
    "_fast.taps": "tests/loopback/relay/test_records.py",
    "_fast.token_guard": "tests/loopback/relay/test_api_endpoints.py",
    "_fast.upstream": "tests/loopback/relay/test_exactness.py",
    "__main__": "tests/unit/cli/test_main.py",
    "cli.claude": "tests/process/test_launcher.py",
    "cli.connect": "tests/process/test_connect.py",
    "cli.env": "tests/process/test_launcher.py",
    "cli.main": "tests/unit/cli/test_main.py",
    "cli.mock": "tests/unit/demo/test_mock_command.py",
    "cli.own_relay": "tests/process/test_launcher.py",
    "cli.relay_guard": "tests/process/test_launcher.py",
    "cli.serve": "tests/process/test_serve.py",
    "cli.settings_store": "tests/process/test_connect.py",
    "cli.version": "tests/unit/cli/test_main.py",
    "control.bridge": "tests/loopback/control/test_calls.py",
    "control.http": "tests/loopback/control/test_hostile.py",
    "control.native": "tests/loopback/control/test_calls.py",
    "control.splice": "tests/loopback/control/test_hostile.py",
    "control.streams": "tests/loopback/control/test_hostile.py",
    "control.web": "tests/loopback/control/test_authorise.py",
    "demo.server": "tests/loopback/test_demo.py",
    "errors": "tests/unit/wire/test_errors.py",
    "relay.dispatcher": "tests/loopback/relay/test_safety.py",
    "relay.models_api": "tests/loopback/relay/test_models.py",
    "relay.server": "tests/loopback/relay/test_safety.py",
    "routing.availability": "tests/unit/routing/test_router.py",
    "routing.candidate": "tests/unit/routing/test_route_table.py",
    "routing.selection": "tests/unit/routing/test_router.py",
    "credentials.main": "tests/process/test_credentials.py",
    "manager.main": "tests/process/test_manager.py",
    "runtime.cloud_credentials": "tests/process/test_credentials.py",
    "runtime.credentials_once": "tests/unit/credentials/test_once.py",
    "runtime.credentials_process": "tests/process/test_credentials.py",
    "runtime.management": "tests/process/test_manager.py",
    "runtime.manager_process": "tests/process/test_manager.py",
    "runtime.process_keeper": "tests/process/test_manager.py",
    "runtime.no_ssl": "tests/process/test_imports.py",
    "runtime.notify": "tests/process/test_supervisor.py",
    "runtime.worker": "tests/process/test_supervisor.py",
}
# Words without behaviour of their own.
NEEDS_NO_TEST = {"ledger.record", "relay.outcome", "runtime.manager_link", "types"}


def sources() -> list[Path]:
    """All but what is generated (`v1`): that is as good as its schema."""
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "v1")


def is_generated(path: Path) -> bool:
    """Whether protoc wrote a file: the rules of style are not for it."""
    return path.parent == PACKAGE / "v1" and "_pb2" in path.name


def cython_sources() -> list[Path]:
    """All of `_fast`, and the `.pxd` beside each module in pure Python mode."""
    return sorted(chain(FAST.glob("*.pyx"), PACKAGE.rglob("*.pxd")))


def module_of(path: Path) -> str:
    """`upstream.dial` for ccrelay/relay/dial.py; a package is its own name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room_of(module: str) -> str:
    return module.split(".")[0]


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every dotted name that a file imports, wherever in the file, with its line."""
    if path.suffix != ".py":
        yield from cython_imports(path)
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield (name if is_module(name) else node.module or "", node.lineno)


def cython_imports(path: Path) -> Iterator[tuple[str, int]]:
    pattern = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))")
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := pattern.match(line):
            yield match[1] or match[2], number


def is_module(name: str) -> bool:
    head, *rest = name.split(".")
    place = PACKAGE.joinpath(*rest)
    return head == "ccrelay" and any(
        candidate.exists()
        for candidate in (place.with_suffix(".py"), place.with_suffix(".pyx"), place)
    )


def own_imports(path: Path) -> Iterator[tuple[str, int]]:
    for name, line in imports(path):
        if name.startswith("ccrelay."):
            yield name.removeprefix("ccrelay."), line


def allowed(module: str, target: str) -> bool:
    """Whether a module may import another; both without `ccrelay.`."""
    room, other = room_of(module), room_of(target)
    is_door = not DOORS.isdisjoint({(module, other), (module, target)})
    if room == other or is_door or module in ("", "__main__"):
        return True
    beside = BESIDE.get(room, set())
    if other in beside or target in beside:
        return True
    if (room, other) in CLOSED or {other, target}.isdisjoint(ONLY.get(room, {other})):
        return False
    return floor_of(other) < floor_of(room)


# ---- floors


def test_every_room_stands_on_a_floor() -> None:
    rooms = {room_of(module_of(path)) for path in sources()} - {"", "__main__"}
    assert rooms | {"_fast", "v1"} == set(chain.from_iterable(FLOORS))


def test_no_import_points_up() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for path in [*sources(), *cython_sources()]
        for target, line in own_imports(path)
        if not allowed(module_of(path), target)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("wire.errors", "relay.server"),
        ("wire.errors", "providers.base"),
        ("config.check", "wire.bodies"),
        ("fleet.endpoint", "routing.strategies"),
        ("fleet.provider_state", "ledger.pricing"),
        ("ledger.pricing", "fleet.provider_state"),
        ("routing.router", "config.load"),
        ("routing.router", "store.ledger"),
        ("relay.server", "runtime.logs"),
        ("runtime.supervisor", "relay.server"),
        ("demo.server", "wire.errors"),
        ("cli.config", "runtime.launch"),
        ("cli.status", "tui.dashboard"),
        ("tui.feed", "manager.app"),
        ("_fast.sse", "types"),
    ],
)
def test_the_table_forbids_what_it_is_there_to_forbid(module: str, target: str) -> None:
    assert not allowed(module, target)


def test_every_exception_of_the_table_is_used() -> None:
    used = {(module_of(path), target) for path in sources() for target, _ in own_imports(path)}
    beside = {(room, target) for room, targets in BESIDE.items() for target in targets}
    for room, target in beside:
        assert any(room_of(m) == room and target in (t, room_of(t)) for m, t in used), (
            f"nobody in {room} imports {target}"
        )
    for module, room in DOORS:
        assert any(m == module and room in (t, room_of(t)) for m, t in used), (module, room)


def test_the_page_on_the_architecture_shows_the_same_floors() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (\d) \w+ \| ([^|]+) \|", page, re.MULTILINE)
    shown = [tuple(re.findall(r"`(\w+)`", rooms)) for _, rooms in rows]
    assert shown == list(FLOORS)


# ---- circles


Graph = dict[str, set[str]]


def imports_inside(room: str, files: Iterable[Path]) -> Graph:
    """Which modules of a room import which, for type checkers only or not.

    In `_fast` a `.pxd` is a C header, a file of its own: an implementation may include a header
    that includes its own. Elsewhere it belongs to the module beside it.
    """
    graph: Graph = {}
    for path in files:
        module = module_of(path)
        if room_of(module) != room or path.name == "__init__.py":
            continue
        is_header = room == "_fast" and path.suffix == ".pxd"
        name = f"{module}.pxd" if is_header else module
        for target, line in own_imports(path):
            if room_of(target) != room or target == room:
                continue
            text = path.read_text().splitlines()[line - 1]
            included = room == "_fast" and re.search(r"\bcimport\b", text) is not None
            other = f"{target}.pxd" if included else target
            if other != name:
                graph.setdefault(name, set()).add(other)
    return graph


def circles(graph: Graph) -> list[str]:
    """Import circles as `a -> b -> a`, one for each module where one closes."""
    found: list[str] = []
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append(" -> ".join([*trail[trail.index(module) :], module]))
        elif module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, [*trail, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


@pytest.mark.parametrize("room", sorted({*chain.from_iterable(FLOORS)} - {"errors", "types"}))
def test_no_module_imports_itself_through_others_of_its_room(room: str) -> None:
    graph = imports_inside(room, [*sources(), *cython_sources()])
    assert circles(graph) == []


def test_a_circle_is_found_wherever_the_search_begins() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set[str]()}
    assert circles(graph) == ["b -> c -> b"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a -> b -> c -> a"]
    assert circles({"a": {"b", "c"}, "b": {"c"}}) == []


def test_imports_for_type_checkers_and_cimports_count(tmp_path: Path) -> None:
    folder = tmp_path / "ccrelay" / "relay"
    folder.mkdir(parents=True)
    one, two, beside = folder / "attempt.py", folder / "exchange.py", folder / "exchange.pxd"
    one.write_text("if TYPE_CHECKING:\n    from ccrelay.relay.exchange import Exchange\n")
    two.write_text("from ccrelay.errors import RelayError\n")
    beside.write_text("from ccrelay.relay.attempt cimport Attempt\n")
    graph: Graph = {}
    for path in (one, two, beside):
        for target, _ in imports(path):
            graph.setdefault(path.stem, set()).add(target.removeprefix("ccrelay.relay."))
    assert circles(graph) == ["attempt -> exchange -> attempt"]


# ---- what a floor may know


def low_sources() -> list[Path]:
    low = set(chain.from_iterable(FLOORS[1:3]))
    return [path for path in sources() if room_of(module_of(path)) in low]


def test_words_and_machines_do_not_know_the_outside_world() -> None:
    wrong = []
    for path in low_sources():
        module = module_of(path)
        open_to = MAY_GO_OUT.get(module, set())
        if module in MAY_NAME_RANDOM:
            open_to = open_to | {"random"}
        wrong += [
            f"{module}:{line} imports {name}"
            for name, line in imports(path)
            if name.split(".")[0] in OUTSIDE and name.split(".")[0] not in open_to
        ]
    assert wrong == []


def test_the_permissions_to_go_out_are_used() -> None:
    permissions = MAY_GO_OUT | {module: {"random"} for module in MAY_NAME_RANDOM}
    for module, names in permissions.items():
        path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
        assert names <= {name.split(".")[0] for name, _ in imports(path)}, module


@pytest.mark.parametrize("module", sorted(MAY_NAME_RANDOM))
def test_chance_is_an_argument(module: str) -> None:
    tree = tree_of(PACKAGE.joinpath(*module.split(".")).with_suffix(".py"))
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_name(node.value, "random"):
            assert node.attr == "Random", f"{module}:{node.lineno}"
            assert id(node) not in called, f"{module}:{node.lineno}: brought by the caller"


def is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def test_wall_clocks_are_read_by_processes_and_faces_only() -> None:
    low = set(chain.from_iterable(FLOORS[:4]))
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        if room_of(module_of(path)) in low and module_of(path) not in MAY_BRING_THE_WALL_CLOCK
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and (ast.unparse(node) == "time.time" or node.attr in ("utcnow", "today"))
    ]
    assert wrong == []


def test_only_the_command_line_prints() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        if room_of(module_of(path)) != "cli"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and is_name(node.func, "print")
    ]
    assert wrong == []


def test_catching_everything_is_for_outermost_shells_that_say_so() -> None:
    wrong = []
    for path in sources():
        lines = path.read_text().splitlines()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ExceptHandler) and catches_everything(node):
                raises_again = any(
                    isinstance(step, ast.Raise) and step.exc is None for step in ast.walk(node)
                )
                if not raises_again and "outermost shell" not in lines[node.lineno - 1]:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []


def catches_everything(handler: ast.ExceptHandler) -> bool:
    names = ast.unparse(handler.type) if handler.type is not None else "BaseException"
    return bool({"Exception", "BaseException"} & set(re.findall(r"\w+", names)))


def test_every_foreign_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # These extras are for developers; each other one is a feature.
    ours = {"test", "browser", "client", "lint"}
    extras = project["optional-dependencies"]
    # Looked up by name where they are used: one that is not installed is no error.
    by_name = {"brotli", "backports", "opentelemetry-exporter-otlp-proto-http"}
    by_name.add("opentelemetry-exporter-otlp-proto-http")  # in the name space of the SDK
    by_name.add("requests")  # google-auth's transport needs it
    features = [line for name in extras.keys() - ours for line in extras[name]]
    declared = {
        re.split(r"[^\w-]", line)[0].lower() for line in [*project["dependencies"], *features]
    }
    known = {
        "yaml": "pyyaml",
        "python_socks": "python-socks",
        "grpc": "grpcio",
        "grpc_health": "grpcio-health-checking",
        "grpc_reflection": "grpcio-reflection",
        "google": "protobuf",
        "google.auth": "google-auth",
        "azure": "azure-identity",
        "prometheus_client": "prometheus-client",
        "opentelemetry": "opentelemetry-sdk",
    }
    foreign = {
        "google.auth" if name.startswith("google.auth") else name.split(".")[0]
        for path in PACKAGE.rglob("*.py")
        for name, _ in imports(path)
        if name.split(".")[0] not in (*sys.stdlib_module_names, "ccrelay")
    }
    assert {known.get(name, name) for name in foreign} == declared - by_name


def test_libraries_of_the_clouds_stay_with_the_credentials() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources()
        if module_of(path) not in THEIR_MODULES
        for name, line in imports(path)
        if any(name == one or name.startswith(f"{one}.") for one in OF_CLOUDS)
    ]
    assert wrong == []


def test_textual_stays_in_two_modules_of_the_dashboard() -> None:
    found = {
        module_of(path)
        for path in sources()
        for name, _ in imports(path)
        if name.split(".")[0] in OF_TERMINALS
    }
    assert found == DRAW_WITH_THEM


def test_workers_and_the_supervisor_do_without_what_is_heavy() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources()
        if room_of(module_of(path)) not in HEAVY_ROOMS and module_of(path) not in THEIR_MODULES
        for name, line in imports(path)
        if name.split(".")[0] in NEVER
    ]
    assert wrong == []


# ---- sizes


def functions(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, line and length of each function; decorators are not counted."""
    if path.suffix == ".py":
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, node.lineno, (node.end_lineno or 0) - node.lineno + 1
        return
    lines = path.read_text().splitlines()
    for number, name, _, indent in cython_functions(path):
        end = number + 1
        for at in range(number, len(lines)):
            text = lines[at]
            if text.strip() and at >= number and not is_deeper(text, indent):
                break
            if text.strip():
                end = at + 1
        yield name, number, end - number + 1


def is_deeper(line: str, indent: int) -> bool:
    # The `)` that closes a signature of several lines stands as deep as its `def`.
    depth = len(line) - len(line.lstrip())
    return depth > indent or line.lstrip().startswith(")")


def test_files_are_short_enough_to_read() -> None:
    limits = {".py": PY_LINES_MAX, ".pyx": PYX_LINES_MAX, ".pxd": PYX_LINES_MAX}
    files = [*sources(), *cython_sources(), *(ROOT / "bench").rglob("*.py")]
    sizes = {
        str(path.relative_to(ROOT)): (len(path.read_text().splitlines()), limits[path.suffix])
        for path in files
        if not is_generated(path)
    }
    assert {name: size for name, size in sizes.items() if size[0] > size[1]} == {}


def test_functions_are_short_enough_to_see_at_once() -> None:
    files = [*sources(), *cython_sources(), *(ROOT / "bench").rglob("*.py")]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {name} has {length} lines"
        for path in files
        for name, line, length in functions(path)
        if length > FUNCTION_LINES_MAX
    ]
    assert wrong == []


# ---- Cython


CYTHON_FUNCTION = re.compile(r"(?:cdef|cpdef)\s+(?:inline\s+)?(?P<type>[^=(]*?)(?P<name>\w+)\s*\(")
NO_FUNCTION = re.compile(r"cdef\s+(?:class|enum|struct|packed|union|extern|ctypedef)\b")
# An exception travels as NULL in place of an object: such functions need no clause.
OBJECTS = {"", "object", "bytes", "bytearray", "str", "list", "dict", "tuple", "set", "frozenset"}


def cython_functions(path: Path) -> Iterator[tuple[int, str, str, int]]:
    """Line, name, whole signature and indent of each function of ours (`def` too) in a file."""
    extern_indent: int | None = None
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if extern_indent is not None and text and indent <= extern_indent:
            extern_indent = None
        if text.startswith("cdef extern"):
            extern_indent = indent
        if extern_indent is not None or NO_FUNCTION.match(text):
            continue
        found = CYTHON_FUNCTION.match(text) or re.match(r"def\s+(?P<name>\w+)\s*\(", text)
        if found:
            yield number, found["name"], signature(lines, number), indent


def signature(lines: list[str], number: int) -> str:
    """A signature that may go on over several lines, up to its closing parenthesis and the rest."""
    text = ""
    for line in lines[number - 1 :]:
        text += " " + line.split("#")[0].strip()
        if text.count("(") == text.count(")"):
            break
    return text.strip()


def test_every_c_function_says_how_it_fails() -> None:
    """Those that Python calls too (`cpdef`) may leave it to Cython, which then asks each time."""
    classes = {
        name
        for path in cython_sources()
        for name in re.findall(r"^cdef class (\w+)", path.read_text(), re.MULTILINE)
    }
    assert "legacy_implicit_noexcept" not in (ROOT / "setup.py").read_text()
    wrong = []
    for path in cython_sources():
        for number, name, text, _ in cython_functions(path):
            found = CYTHON_FUNCTION.match(text)
            if found is None or found["type"].strip() in OBJECTS | classes:
                continue
            if text.startswith("cpdef"):
                continue
            clause = text[text.rindex(")") :]
            if "noexcept" not in clause and "except" not in clause:
                wrong.append(f"{path.relative_to(ROOT)}:{number} {name}")
    assert wrong == []


def test_every_extension_has_a_stub() -> None:
    extensions = {path.stem for path in FAST.glob("*.pyx")}
    assert {path.stem for path in FAST.glob("*.pyi")} == extensions


@pytest.mark.parametrize("name", sorted(path.stem for path in FAST.glob("*.pyx")))
def test_a_stub_names_what_its_extension_has_and_nothing_else(name: str) -> None:
    module = importlib.import_module(f"ccrelay._fast.{name}")
    stub = ast.parse((FAST / f"{name}.pyi").read_text())
    here = {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    # A C enum leaves its members in the module, too; the stub shows them in their class.
    members = {key for key, value in here.items() if type(value).__mro__[1:2] == (int,)}
    told = {
        node.name: node
        for node in stub.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and not node.name.startswith("_")
        and not is_protocol(node)
    }
    enums = {
        key for key, value in here.items() if inspect.isclass(value) and issubclass(value, int)
    }
    members |= {key for enum in enums for key in here[enum].__members__}
    assert told.keys() == here.keys() - members
    for key, node in told.items():
        if isinstance(node, ast.ClassDef):
            names, told_of = public_names(here[key]), stub_names(node)
            if "__dict__" in dir(here[key]):  # a plain class: what __init__ sets is not to be seen
                told_of &= names
            assert told_of == names, key


def is_protocol(node: ast.stmt) -> bool:
    """Whether a class of a stub only describes what an argument has to be."""
    return isinstance(node, ast.ClassDef) and any(is_name(b, "Protocol") for b in node.bases)


def stub_names(node: ast.ClassDef) -> set[str]:
    names = set()
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            names.add(ast.unparse(item.target))
        elif isinstance(item, ast.Assign):
            names |= {ast.unparse(target) for target in item.targets}
        elif isinstance(item, ast.FunctionDef):
            names.add(item.name)
    return {name for name in names if not name.startswith("_")}


def public_names(cls: type) -> set[str]:
    if issubclass(cls, int):
        return set(cls.__members__)  # type: ignore[attr-defined]
    return {name for name in vars(cls) if not name.startswith("_")}


# ---- compiled modules


def compiled_modules() -> list[str]:
    """The modules in pure Python mode that setup.py compiles, without `ccrelay.`."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and is_name(node.targets[0], "COMPILED"):
            return list(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no COMPILED")


def test_every_compiled_module_has_its_types_beside_it_and_no_other_has() -> None:
    beside = {module_of(path) for path in PACKAGE.rglob("*.pxd") if path.parent != FAST}
    assert beside == set(compiled_modules())
    assert len(compiled_modules()) == len(beside), "a module is there twice"


@pytest.mark.parametrize("name", compiled_modules())
def test_a_compiled_module_is_what_runs(name: str) -> None:
    """Installed, and in a checkout that was built; with CCRELAY_PURE=1 all of them are Python."""
    module = importlib.import_module(f"ccrelay.{name}")
    assert module.__file__ is not None
    is_compiled = module.__file__.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    is_python = module.__file__.endswith(".py")
    assert (is_compiled, is_python) == (not PURE, PURE), module.__file__


# ---- tests


def test_every_module_has_its_test_file() -> None:
    missing = []
    for path in [*sources(), *FAST.glob("*.pyx")]:
        module = module_of(path)
        if path.name == "__init__.py" or module in NEEDS_NO_TEST or is_generated(path):
            continue
        named = ROOT / TESTED_BY[module] if module in TESTED_BY else None
        if not (named.exists() if named else files_testing(module)):
            missing.append(module)
    assert missing == []


def files_testing(module: str) -> list[Path]:
    room, _, name = module.rpartition(".")
    folder = {"_fast": "fast"}.get(room, room)
    places = [
        ROOT / "tests" / "unit" / folder,
        *(ROOT / "tests" / kind for kind in ("parity", "property", "process", "loopback")),
        ROOT / "tests" / "loopback" / folder,
    ]
    return [place / f"test_{name}.py" for place in places if (place / f"test_{name}.py").exists()]


def test_the_exceptions_name_modules_that_exist() -> None:
    known = {module_of(path) for path in [*sources(), *FAST.glob("*.pyx")]}
    assert TESTED_BY.keys() | NEEDS_NO_TEST <= known


# ---- the tree as a stranger sees it


# Spelt in pieces, so that this file does not find itself.
MACHINE_PATHS = re.compile(r"(?<![\w.~}$/-])/(?:" + "wo" + "rk|ro" + "ot|ho" + r"me/\w+)/")
REGISTRY_HOSTS = re.compile(r"pythonho" + r"sted\.org|pypi\.o" + r"rg|npmj" + r"s\.(?:org|com)")
REAL_LOOKING_KEYS = re.compile(
    "sk-a" + r"nt-[A-Za-z0-9]|AK" + "IA[0-9A-Z]{16}|gh" + "p_[A-Za-z0-9]{30}"
)
TOP = ("ccrelay", "tests", "docs", "bench", "proto", ".ci")
TEXT = {".py", ".pyx", ".pxd", ".pyi", ".md", ".toml", ".yaml", ".yml", ".json", ".proto", ".h", ""}


def texts() -> Iterator[tuple[Path, str]]:
    """The text files of the tree, built files left out."""
    files = chain(ROOT.glob("*.*"), *((ROOT / folder).rglob("*") for folder in TOP))
    for path in files:
        is_built = not {"__pycache__", "dist", "node_modules", "results"}.isdisjoint(path.parts)
        if path.is_file() and path.suffix in TEXT and not is_built:
            try:
                yield path, path.read_text()
            except UnicodeDecodeError:
                continue  # a program, or a corpus entry on purpose


@pytest.mark.parametrize("pattern", [MACHINE_PATHS, REGISTRY_HOSTS, REAL_LOOKING_KEYS])
def test_no_file_tells_where_it_was_made(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts()
        for match in pattern.finditer(text)
    ]
    assert found == []


def test_nothing_is_left_to_do_in_a_comment() -> None:
    marks = re.compile("TO" + r"DO|FIX" + r"ME|XX" + "X")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts()
        if path.suffix in {".py", ".pyx", ".pxd", ".pyi", ".h"} and not is_generated(path)
        for match in marks.finditer(text)
    ]
    assert found == []
