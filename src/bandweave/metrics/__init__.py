"""The field's quality indexes, and the protocols under which published numbers were computed.

The metrics themselves are pure functions in the module of their name; METRICS lists them.
"""

from bandweave.metrics.full import evaluate_fr, score_fr
from bandweave.metrics.protocol import PROTOCOLS, Protocol, find_protocol
from bandweave.metrics.reduced import evaluate_rr, score_rr
from bandweave.metrics.reprojection import evaluate_reprojection, score_reprojection
from bandweave.metrics.scores import Scores, summarise
from bandweave.metrics.table import METRICS, Metric

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "Metric",
    "Protocol",
    "Scores",
    "evaluate_fr",
    "evaluate_reprojection",
    "evaluate_rr",
    "find_protocol",
    "score_fr",
    "score_reprojection",
    "score_rr",
    "summarise",
]
