"""Tasks: what can be done with a classifier; each a function that returns a Problem."""

from collections.abc import Iterable

from featlab import Entry, hookimpl


@hookimpl
def featlab_tasks() -> Iterable[Entry]:
    """Yield the tasks."""
    here = "featlab_plugins.tasks"
    yield Entry("invert", f"{here}.invert:invert", "an image with the representation of another (Engstrom et al. 2019)")
    yield Entry("large-eps", f"{here}.large_eps:large_eps", "towards a class with room to change (Tsipras et al. 2019)")
    yield Entry("visualize", f"{here}.visualize:visualize", "what a unit responds to (Olah et al. 2017)")
    yield Entry(
        "interpolate", f"{here}.interpolate:interpolate", "images between two, through a layer (Engstrom et al. 2019)"
    )
    yield Entry(
        "add-feature", f"{here}.add_feature:add_feature", "an image with one more feature (Engstrom et al. 2019)"
    )
    yield Entry("generate", f"{here}.generate:generate", "new images of a class (Santurkar et al. 2019)")
    yield Entry("inpaint", f"{here}.inpaint:inpaint", "what stood in a hole (Santurkar et al. 2019)")
    yield Entry("superres", f"{here}.superres:superres", "larger images (Santurkar et al. 2019)")
    yield Entry("translate", f"{here}.translate:translate", "the same picture as another class (Santurkar et al. 2019)")
    yield Entry("sketch", f"{here}.sketch:sketch", "from a sketch to an image (Santurkar et al. 2019)")
    yield Entry("restore", f"{here}.restore:restore", "without noise or blur, most plausible under the classifier")
    yield Entry("stylize", f"{here}.stylize:stylize", "in the style of another (Gatys et al. 2016; Nakano 2019)")
    yield Entry("paint", f"{here}.paint:paint", "a unit, class or patch, in a mask (Santurkar et al. 2019)")
    yield Entry("rationalize", f"{here}.rationalize:rationalize", "why the model answered so (Engstrom et al. 2019)")
    yield Entry("worst-of", f"{here}.worst_of:worst_of", "the worst of so many random points (Engstrom et al. 2019)")
    yield Entry("stadv", f"{here}.stadv:stadv", "pixels flow until the model errs (Xiao et al. 2018)")
