"""Figures of a training run: for reports, for machines without a display, and for notebooks.

Every function takes arrays or lists (anything `np.asarray` takes) and returns a matplotlib Figure, which `save` writes
to a file. None touches matplotlib's global state: no pyplot, no backend, and the user's own style is neither read nor
changed. `data` names the data set; it stands in the title line, so that no picture can be taken for one of other data.
"""

from tinygrad_mlp.plot.canvas import save
from tinygrad_mlp.plot.filters import feature_maps, filters
from tinygrad_mlp.plot.images import augmented, mistakes, samples, weights
from tinygrad_mlp.plot.learning import curves
from tinygrad_mlp.plot.plane import decision_boundary
from tinygrad_mlp.plot.results import bars_with_intervals, confusion, histogram
from tinygrad_mlp.plot.step import step_times
from tinygrad_mlp.plot.studies import against_published, seed_curves

__all__ = [
    "against_published",
    "augmented",
    "bars_with_intervals",
    "confusion",
    "curves",
    "decision_boundary",
    "feature_maps",
    "filters",
    "histogram",
    "mistakes",
    "samples",
    "save",
    "seed_curves",
    "step_times",
    "weights",
]
