"""Exceptions and warnings. Each message says what was required, what was found, and what to do."""


class FusionError(Exception):
    """Base of every error that bandweave raises on purpose: one plain sentence, no traceback."""


class ConfigError(FusionError, ValueError):
    """An option has an impossible value, or no such option exists."""


class GridMismatchError(FusionError, ValueError):
    """Two images do not share a grid that fusion can use."""


class BandCountError(FusionError, ValueError):
    """An image has another number of bands than the method or the weights need."""


class ShapeError(FusionError, ValueError):
    """An array has a shape that does not fit its role."""


class UnknownNameError(FusionError, KeyError):
    """A name stands in no table; the message lists the valid ones."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class UnknownSensorError(UnknownNameError):
    """A sensor name stands not in the sensor table."""


class UnknownMethodError(UnknownNameError):
    """A method name stands not in the method table."""


class SensorModelError(FusionError, ValueError):
    """A step needs a sensor model (MTF gains, ...) that is not known."""


class ScaleError(FusionError, ValueError):
    """A learned method was given data whose full scale is not known."""


class CheckpointMismatchError(FusionError, ValueError):
    """A weight file does not belong to this architecture, or is damaged."""


class MissingWeightsError(FusionError, LookupError):
    """A learned method has no weights that fit the pair."""


class NodataError(FusionError, ValueError):
    """No usable pixel, or a nodata value that collides with data."""


class FileFormatError(FusionError, ValueError):
    """A file could not be read as what it should be."""


class ProductError(FusionError, ValueError):
    """A delivery is incomplete, contradicts itself, or is none that is known."""


class OutputExistsError(FusionError, FileExistsError):
    """The output exists and --overwrite was not given."""


class OutputError(FusionError, OSError):
    """The output could not be written."""


class FolderInUseError(FusionError, BlockingIOError):
    """Another process works in the folder at the moment."""


class ExportError(FusionError, RuntimeError):
    """What was exported does not do what it was exported from."""


class MissingExtraError(FusionError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


class ClusterError(FusionError, ConnectionError):
    """The workers of a cluster cannot be reached, or cannot do the work."""


class DivergenceError(FusionError, ArithmeticError):
    """Training came to a loss that is no finite number."""


class ResourceError(FusionError, MemoryError):
    """The scene does not fit the memory that the method needs."""


class BandweaveWarning(UserWarning):
    """Base of every warning."""


class AlignmentWarning(BandweaveWarning):
    """The grids do not align as they should, and how it was handled."""


class RadiometryWarning(BandweaveWarning):
    """Values fell outside the range they should have."""


class DataWarning(BandweaveWarning):
    """Data may have changed since they were used first."""


class AssumptionWarning(BandweaveWarning):
    """A convention stood in for an unknown measurement."""


class VersionWarning(BandweaveWarning):
    """Workers of a cluster have other libraries than this process."""
