"""Brings what the page and its tests borrow from npm, pinned, and writes down where each file comes from.

`python .ci/vendor.py` (or `make vendor`) needs npm; nothing else does, since the files are committed. The compiler
that checks the page's types is not: it comes into an ignored folder, where `make lint` uses it if Node is there.
"""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "app" / "web" / "page" / "vendor"
TESTS = ROOT / "tests" / "web" / "vendor"
COMPILER = ROOT / ".ci" / "typescript"
# A browser resolves paths, not names of packages; an import map would be a script within the page, which is forbidden.
NEIGHBOURS = {
    '"preact"': '"./preact.mjs"',
    '"preact/hooks"': '"./hooks.mjs"',
    '"@preact/signals-core"': '"./signals-core.mjs"',
}
WANTED = [
    (PAGE, "preact", "11.2.0", {"dist/preact.mjs": "preact.mjs", "hooks/dist/hooks.mjs": "hooks.mjs"}),
    (PAGE, "htm", "3.1.1", {"dist/htm.mjs": "htm.mjs"}),
    (PAGE, "@preact/signals", "2.11.4", {"dist/signals.mjs": "signals.mjs"}),
    (PAGE, "@preact/signals-core", "1.14.5", {"dist/signals-core.mjs": "signals-core.mjs"}),
    (PAGE, "uplot", "1.6.32", {"dist/uPlot.iife.min.js": "uplot.mjs", "dist/uPlot.min.css": "uplot.css"}),
    (TESTS, "axe-core", "4.14.1", {"axe.min.js": "axe.min.js"}),
]
TYPESCRIPT = "6.0.3"
TYPESCRIPT_INTEGRITY = "sha512-y2TvuxSZPDyQakkFRPZHKFm+KKVqIisdg9/CZwm9ftvKXLP8NRWj38/ODjNbr43SsoXqNuAisEf1GdCxqWcdBw=="


def main() -> None:
    entries: dict[Path, list[dict[str, object]]] = {PAGE: [], TESTS: []}
    for folder, package, version, files in WANTED:
        entries[folder].append(brought(folder, package, version, files))
    for folder, listed in entries.items():
        text = json.dumps({"packages": listed}, indent=2) + "\n"
        (folder / "manifest.json").write_text(text, encoding="utf-8")
    bring_compiler()


def bring_compiler() -> None:
    with tempfile.TemporaryDirectory() as place:
        told = packed(place, "typescript", TYPESCRIPT)
        if told["integrity"] != TYPESCRIPT_INTEGRITY:
            raise SystemExit(f"typescript {TYPESCRIPT} is not what was pinned: {told['integrity']}")
        shutil.rmtree(COMPILER, ignore_errors=True)
        shutil.move(unpacked(place, told), COMPILER)


def packed(place: str, package: str, version: str) -> dict[str, Any]:
    """What npm tells of the archive that it put into `place`; the digest is npm's own of what it received."""
    command = ["npm", "pack", "--json", f"{package}@{version}"]
    told = json.loads(subprocess.run(command, cwd=place, check=True, capture_output=True).stdout)  # noqa: S603 -- as pinned above
    entry: dict[str, Any] = next(iter(told.values())) if isinstance(told, dict) else told[0]
    return entry


def unpacked(place: str, told: dict[str, Any]) -> Path:
    with tarfile.open(Path(place) / told["filename"]) as archive:
        archive.extractall(place, filter="data")
    return Path(place) / "package"


def brought(folder: Path, package: str, version: str, files: dict[str, str]) -> dict[str, object]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        told = packed(place, package, version)
        found = unpacked(place, told)
        licence = f"LICENSE-{package.strip('@').replace('/', '-')}.txt"
        (folder / licence).write_bytes((found / "LICENSE").read_bytes())
        for source, name in files.items():
            text = adapted((found / source).read_text(encoding="utf-8"))
            # What is borrowed is its makers' to check.
            (folder / name).write_text(f"// @ts-nocheck\n{text}" if name.endswith(".mjs") else text, encoding="utf-8")
        declared = json.loads((found / "package.json").read_text(encoding="utf-8"))
    return {
        "package": package,
        "version": version,
        "licence": declared["license"],
        "licence_file": licence,
        "integrity": told["integrity"],
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files.values()},
    }


def adapted(text: str) -> str:
    for package, neighbour in NEIGHBOURS.items():
        text = text.replace(f"from{package}", f"from{neighbour}")
    text = re.sub(r"\n?//# sourceMappingURL=\S+\n?", "\n", text)
    return f"{text}export default uPlot;\n" if "var uPlot=" in text else text  # as a module it is not minified


if __name__ == "__main__":
    main()
