#!/usr/bin/env python3
"""Prints the canonical tree digest of an unpacked root filesystem.

usage: treedigest.py DIR [--implied PATH]...

It follows docs/design/001-canonical-tree-digest.md and nothing else. Run it as
root, so that it sees all attributes. Directories that no layer has an entry for
are named by --implied, "." for the root: the digest takes 0755, 0:0 and time 0
for them, while what is on the disk depends on who unpacked them.
"""

import hashlib
import os
import stat
import sys

TYPES = {
    stat.S_IFREG: b"f", stat.S_IFDIR: b"d", stat.S_IFLNK: b"l",
    stat.S_IFCHR: b"c", stat.S_IFBLK: b"b", stat.S_IFIFO: b"p",
}


def paths(root):
    """All paths relative to root, the root itself first."""
    below = []
    for at, dirs, files in os.walk(root):
        for name in dirs + files:
            below.append(os.path.relpath(os.path.join(at, name), root))
    return [b"."] + sorted(below)


def content(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def fields(root, path, st, link, implied):
    full = os.path.join(root, path)
    kind = TYPES[stat.S_IFMT(st.st_mode)]
    yield path
    yield kind
    if implied:
        yield from ["0755", "0", "0", "0", "0.000000000", "", "", "0", "", ""]
        return
    yield "0777" if kind == b"l" else "%04o" % (st.st_mode & 0o7777)
    yield str(st.st_uid)
    yield str(st.st_gid)
    yield str(st.st_size if kind == b"f" else 0)
    yield "%d.%09d" % divmod(st.st_mtime_ns, 10**9)
    yield os.readlink(full) if kind == b"l" else ""
    yield "%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev)) if kind in b"cb" else ""
    names = sorted(os.fsencode(n) for n in os.listxattr(full, follow_symlinks=False))
    yield str(len(names))
    for name in names:
        yield name
        yield os.getxattr(full, name, follow_symlinks=False)
    yield link
    yield content(full) if kind == b"f" else ""


def digest(root, implied):
    found = [(p, os.lstat(os.path.join(root, p))) for p in paths(root)]
    groups = {}
    for path, st in found:
        if not stat.S_ISDIR(st.st_mode):
            groups.setdefault((st.st_dev, st.st_ino), []).append(path)
    h = hashlib.sha256()

    def put(value):
        if isinstance(value, str):
            value = value.encode()
        h.update(b"%d:%s," % (len(value), value))

    put("dockerfactory.tree.v1")
    for path, st in found:
        group = groups.get((st.st_dev, st.st_ino), [])
        link = group[0] if len(group) > 1 else ""
        for value in fields(root, path, st, link, path in implied):
            put(value)
    return "sha256:" + h.hexdigest()


def main(args):
    if not args or len(args) % 2 == 0 or any(a != "--implied" for a in args[1::2]):
        sys.exit(__doc__)
    print(digest(os.fsencode(args[0]), {os.fsencode(p) for p in args[2::2]}))


if __name__ == "__main__":
    main(sys.argv[1:])
