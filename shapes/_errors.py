"""The root of all errors, and the one of this layer."""


class EqsatError(Exception):
    """Root of every error that eqsat raises on purpose."""


class ShapeError(EqsatError):
    """A size, shape, axis or dtype that cannot be."""


class UnprovenShapeError(ShapeError):
    """Sizes that may be equal, but the facts in scope do not prove it.

    `needed` holds the facts (`Equal`) that would make the request legal.
    """

    def __init__(self, message: str, needed: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.needed = needed
