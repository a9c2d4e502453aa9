"""Writes release VERSION of an application to DIRECTORY: modules that are pieces
of Python's own library, of which a tenth changes from release to release, and a
bundle that always does."""

import pathlib
import random
import sys

version, root = int(sys.argv[1]), pathlib.Path(sys.argv[2])
sources = sorted(pathlib.Path("/usr/lib/python3.11").glob("*.py"))
lines = [line for path in sources for line in path.read_text(errors="replace").splitlines()]

root.mkdir(parents=True, exist_ok=True)
for number in range(400):
    changed = max(v for v in range(version - 9, version + 1) if (number + v) % 10 == 0)
    pick = random.Random(f"{number} {max(changed, 0)}")
    start = pick.randrange(len(lines) - 400)
    (root / f"module_{number:03}.py").write_text("\n".join(lines[start : start + 400]) + f"\n# release {changed}\n")

pick = random.Random(f"bundle {version}")
with open(root / "bundle.js", "w") as bundle:
    for _ in range(8000):
        start = pick.randrange(len(lines) - 5)
        bundle.write(" ".join(lines[start : start + 5]) + "\n")
