import argparse
import os
import sys

from depot import __version__, catalogue, service, settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="depot", description="Spare parts of a workshop.")
    parser.add_argument("--version", action="version", version=f"depot {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True)
    generate = verbs.add_parser("generate", help="write a catalogue to try things with")
    generate.add_argument("--parts", type=int, default=1000)
    generate.add_argument("file")
    load = verbs.add_parser("import", help="read a catalogue into the database")
    load.add_argument("file")
    find = verbs.add_parser("find", help="list the parts whose name has a word")
    find.add_argument("word")
    find.add_argument("--limit", type=int, default=5)
    verbs.add_parser("serve", help="answer over HTTP")
    args = parser.parse_args()

    config = settings.load()
    if args.verb == "generate":
        catalogue.generate(args.file, args.parts)
    elif args.verb == "import":
        print(f"{catalogue.load(config.database, args.file)} parts")
    elif args.verb == "find":
        rows = catalogue.find(config.database, args.word, args.limit)
        for number, name, stock in rows:
            print(f"{number}\t{name}\t{stock}")
        return 0 if rows else 1
    else:
        port = int(os.environ.get("DEPOT_PORT", "8080"))
        service.create(config).run(host="0.0.0.0", port=port)
    return 0


sys.exit(main())
