import filecmp
import json
import re
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders

from config.doctor.findings import ERROR, OK, Finding
from config.doctor.front_door import FrontDoor

MANIFEST = "staticfiles.json"
SAMPLE = "guestlist.css"  # the file that is fetched
IGNORED = ["CVS", ".*", "*~"]  # as collectstatic does


def static_files() -> Finding:
    """Compare what is collected with the files of the installed code."""
    if settings.DEBUG:
        return Finding(OK, "Not needed with DEBUG.")
    files = sources()
    wrong = _what_is_wrong(files)
    if wrong:
        return Finding(ERROR, wrong, "Run collectstatic, and restart the servers.")
    return Finding(OK, f"All {len(files)} are collected.")


def manifest() -> dict[str, str]:
    """The name with a hash of each static file. Raise ValueError if there is none to read."""
    try:
        paths = json.loads(Path(settings.STATIC_ROOT, MANIFEST).read_bytes())["paths"]
        return {str(path): str(hashed) for path, hashed in paths.items()}
    except FileNotFoundError:
        raise ValueError("They are not collected.") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{MANIFEST} cannot be read.") from None


def sources() -> dict[str, Path]:
    """Each static file of the code by its path, as collectstatic takes them."""
    files: dict[str, Path] = {}
    for finder in get_finders():
        for path, storage in finder.list(ignore_patterns=IGNORED):
            name = Path(getattr(storage, "prefix", None) or "", path).as_posix()
            files.setdefault(name, Path(storage.path(path)))
    return files


def _what_is_wrong(files: dict[str, Path]) -> str:
    root = Path(settings.STATIC_ROOT)
    try:
        hashed = manifest()
    except ValueError as error:
        return str(error)
    if unknown := files.keys() - hashed.keys():
        return f"Files that are not in the manifest: {len(unknown)}."
    if stale := [path for path, source in files.items() if not _is_same(source, root / path)]:
        return f"Files that are older than the code, or were changed: {len(stale)}."
    if missing := [path for path in files if not (root / hashed[path]).is_file()]:
        return f"Files that the manifest names, and that are missing: {len(missing)}."
    return ""


def _is_same(source: Path, collected: Path) -> bool:
    return collected.is_file() and filecmp.cmp(source, collected, shallow=False)


def served(door: FrontDoor) -> Finding:
    """Whether the server sends the files that this machine has, and links to them."""
    if settings.DEBUG:
        return Finding(OK, "Not needed with DEBUG.")
    names = manifest()
    hashed = names.get(SAMPLE) or min(names.values())
    answer = door.get(f"{settings.STATIC_URL}{hashed}")
    if answer.status != 200:
        hint = "Run collectstatic on the host of the server, and restart it."
        return Finding(ERROR, f"{hashed} answers {answer.status}.", hint)
    if answer.body != Path(settings.STATIC_ROOT, hashed).read_bytes():
        hint = "The proxy changes it, or serves the files of another version."
        return Finding(ERROR, f"{hashed} arrives with other bytes.", hint)
    linked = re.findall(
        rf'"{settings.STATIC_URL}([^"?]+)', door.get("/login").body.decode("latin-1")
    )
    if set(linked) - set(names.values()):
        hint = "Restart the server after collectstatic, on the same version everywhere."
        return Finding(ERROR, "Pages link to files of another version.", hint)
    return Finding(OK, "They arrive unchanged.")
