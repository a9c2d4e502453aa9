"""The catalogue: a CSV file as it is delivered, a SQLite database as it is used."""

import csv
import hashlib
import itertools
import sqlite3

KINDS = ["bolt", "nut", "washer", "bearing", "gasket", "bracket", "spring", "valve", "bushing", "clamp"]
METALS = ["steel", "brass", "bronze", "copper", "aluminium", "titanium", "nickel"]
SIZES = ["M3", "M4", "M5", "M6", "M8", "M10", "M12", "M16"]


def generate(path: str, parts: int) -> None:
    """Write a catalogue that is the same each time."""
    kinds = itertools.cycle(itertools.product(METALS, SIZES, KINDS))
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["number", "name", "stock", "drawing"])
        for n, (metal, size, kind) in zip(range(parts), kinds):
            drawing = hashlib.sha512(str(n).encode()).hexdigest()
            writer.writerow([f"{n:06d}", f"{metal} {kind} {size}", int(drawing[:3], 16), drawing])


def load(database: str, path: str) -> int:
    """Fill the database from a catalogue and return the number of parts."""
    with open(path, newline="", encoding="utf-8") as source, sqlite3.connect(database) as db:
        db.execute("CREATE TABLE part (number TEXT PRIMARY KEY, name TEXT, stock INTEGER, drawing TEXT) WITHOUT ROWID")
        rows = csv.DictReader(source)
        db.executemany("INSERT INTO part VALUES (:number, :name, :stock, :drawing)", rows)
        return db.execute("SELECT count(*) FROM part").fetchone()[0]


def find(database: str, word: str, limit: int) -> list:
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        query = "SELECT number, name, stock FROM part WHERE name LIKE ? ORDER BY number LIMIT ?"
        return db.execute(query, (f"%{word}%", limit)).fetchall()
    finally:
        db.close()
