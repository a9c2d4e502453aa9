"""A workshop's spare parts, on the command line and over HTTP."""

__version__ = "1.0.0"
