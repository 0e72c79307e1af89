"""What an importer raises."""

from eqsat.shapes import EqsatError


class ImportModelError(EqsatError):
    """A model can't be imported; the message names the file or node and what to do."""
