import dataclasses
import os

import yaml


@dataclasses.dataclass
class Settings:
    database: str
    downloads: str


def load() -> Settings:
    path = os.environ.get("DEPOT_CONFIG", "/etc/depot/depot.yaml")
    with open(path, encoding="utf-8") as source:
        return Settings(**yaml.safe_load(source))
