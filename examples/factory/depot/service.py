from flask import Flask, jsonify, request, send_from_directory

from depot import __version__, catalogue
from depot.settings import Settings


def create(config: Settings) -> Flask:
    app = Flask("depot")

    @app.get("/health")
    def health():
        return jsonify(status="ok", version=__version__)

    @app.get("/parts")
    def parts():
        rows = catalogue.find(config.database, request.args.get("q", ""), 50)
        return jsonify([{"number": n, "name": name, "stock": stock} for n, name, stock in rows])

    @app.get("/download/<path:name>")
    def download(name):
        return send_from_directory(config.downloads, name)

    return app
