"""Imports point one way: whoever knows less is imported by whoever knows more."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
APPS = ("accounts", "tokens", "config")

# From the bottom up: a module imports from its own layer and from those before it.
LAYERS = [
    {"tokens.keys", "tokens.user_agents", "tokens.lookups"},
    {"tokens.signing", "tokens.client"},
    {"tokens.places", "tokens.models"},
    {"tokens.statements", "tokens.stories"},
    {"tokens.notices"},
    {"tokens.flows"},
    {"tokens.browser"},
    {
        "tokens.authentication",
        "tokens.checks",
        "tokens.forms",
        "tokens.middleware",
        "tokens.overview",
        "tokens.receivers",
        "tokens.serializers",
        "tokens.step_up",
    },
    {"*"},
]
PACKAGES = ("tokens.models", "tokens.flows")  # each is one layer


def modules():
    """The modules of the project by name, tests and migrations left out."""
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if not {"tests", "migrations"} & set(parts):
                yield ".".join(part for part in parts if part != "__init__"), path


MODULES = dict(modules())


def imported(name):
    """What a module imports, also inside its functions: full names."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def layer(name):
    name = next((package for package in PACKAGES if name.startswith(f"{package}.")), name)
    if not name.startswith("tokens"):
        return 0
    named = [number for number, names in enumerate(LAYERS) if name in names]
    return named[0] if named else LAYERS.index({"*"})


def own(names):
    return {name for name in names if name in MODULES and name not in APPS}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("tokens")])
def test_tokens_import_downwards(name):
    upwards = {other for other in own(imported(name)) if layer(other) > layer(name)}

    assert not upwards, f"{name} imports {upwards}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("accounts")])
def test_accounts_never_import_tokens(name):
    upwards = {other for other in imported(name) if other.split(".")[0] in ("tokens", "config")}

    assert not upwards, f"{name} imports {upwards}"


@pytest.mark.parametrize("name", ["tokens.keys", "tokens.signing", "tokens.client"])
def test_signing_and_client_know_no_row(name):
    allowed = {"tokens.keys", "tokens.user_agents", "accounts.text"}
    known = {
        other for other in own(imported(name)) if other.split(".")[0] in ("tokens", "accounts")
    }

    assert known <= allowed
    if name != "tokens.client":  # its choices of a model field are Django's, not a table
        assert not any(other.startswith("django.db") for other in imported(name))


def test_models_know_nothing_of_http():
    for name in ("tokens.models", "tokens.flows", "accounts.models"):
        for other in imported(name):
            assert not other.startswith(("django.http", "rest_framework", "django.views")), name


def test_no_two_modules_import_each_other():
    """No circle among the modules, however long."""
    needs = {name: own(imported(name)) - {name} for name in MODULES}
    while needs:
        free = [name for name, others in needs.items() if not others & set(needs)]
        assert free, f"a circle among {sorted(needs)}"
        for name in free:
            del needs[name]


@pytest.mark.asvs("7.2.1", "11.2.1")
def test_tokens_are_read_in_one_place():
    """Only keys and signing know PyJWT, and nobody calls its `decode`, which accepts too much."""
    for name, path in MODULES.items():
        if any(other.split(".")[0] == "jwt" for other in imported(name)):
            assert name in ("tokens.keys", "tokens.signing"), name
        assert "jwt.decode" not in path.read_text(encoding="utf-8"), name


@pytest.mark.asvs("7.2.1")
def test_only_flows_join_a_signature_to_a_row():
    """Others may know the names of `signing`; verifying and signing is the flows' business."""
    for name, path in MODULES.items():
        if name.startswith("tokens.flows") or name in ("tokens.signing", "tokens.keys"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = (node.value.id, node.attr)
                assert called not in {
                    ("signing", "verify"),
                    ("signing", "sign_access_token"),
                    ("signing", "sign_refresh_token"),
                    ("signing", "new_handle"),
                }, f"{name}: {called}"


@pytest.mark.asvs("11.2.4")
def test_secrets_are_not_compared_with_equals():
    """`==` stops at the first difference. What a person types twice is nobody's to guess."""
    secret = re.compile(r"(hash|handle|signature|token|secret|password|attempt|key)$")
    for name, path in MODULES.items():
        if name.endswith("commands.create_admin"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                for side in map(ast.unparse, [node.left, *node.comparators]):
                    assert not secret.search(side), f"{name}: {ast.unparse(node)}"


@pytest.mark.asvs("11.4.1")
def test_no_broken_hash_is_used():
    for name, path in MODULES.items():
        assert not re.search(r"\b(md5|sha1)\b", path.read_text(encoding="utf-8"), re.I), name


def test_environment_is_read_in_config_only():
    for name, path in MODULES.items():
        if name.startswith("config"):
            continue
        text = path.read_text(encoding="utf-8")
        assert not any(other.split(".")[0] in ("environs", "dotenv") for other in imported(name))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("environ", "getenv", "environb", "putenv"), name
        assert not {"os.environ", "os.getenv"} & set(imported(name)), name
