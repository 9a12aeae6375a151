"""Threat models: which changes leave an image what it is."""

from collections.abc import Iterable

from featlab import Entry, hookimpl


@hookimpl
def featlab_threat_models() -> Iterable[Entry]:
    """Yield all threat models: balls, masks, geometry, colours, signals, perception, mixtures, parametrisations."""
    here = "featlab_plugins.threat_models"
    yield Entry("linf", f"{here}.balls:Linf", "every value changes by at most eps (Goodfellow et al. 2015)")
    yield Entry("l2", f"{here}.balls:L2", "the change has Euclidean length at most eps (Szegedy et al. 2014)")
    yield Entry("l1", f"{here}.l1:L1", "the changes sum up to at most eps (Chen et al. 2018; Tramer and Boneh 2019)")
    yield Entry(
        "l0", f"{here}.l0:L0", "at most count values or pixels change (Papernot et al. 2016; Croce and Hein 2019)"
    )
    yield Entry("box", f"{here}.box:Box", "any image with values in [low, high]")
    yield Entry("masked", f"{here}.masked:Masked", "another threat model, where a mask lets it (patches, painting)")
    yield Entry("feathered", f"{here}.feathered:Feathered", "another threat model, faded out by a soft mask")
    yield Entry("hsb", f"{here}.hsb:HSB", "hue, saturation and brightness shift (Hosseini and Poovendran 2018)")
    yield Entry("recolor", f"{here}.recolor:Recolor", "one smooth map of all colours (Laidlaw and Feizi 2019)")
    yield Entry("frequency", f"{here}.frequency:Frequency", "a change within a band of frequencies (Guo et al. 2019)")
    yield Entry(
        "jpeg", f"{here}.jpeg:JPEG", "JPEG coefficients move by eps steps (Shin and Song 2017; Kang et al. 2019)"
    )
    yield Entry("blur", f"{here}.blur:Blur", "Gaussian or directed blur (Hendrycks and Dietterich 2019)")
    yield Entry("fog", f"{here}.weather:Fog", "fog whose banks are placed (Kang et al. 2019)")
    yield Entry("snow", f"{here}.weather:Snow", "snow whose flakes are chosen (Kang et al. 2019)")
    yield Entry("union", f"{here}.union:Union", "what any of several threat models allows (Maini et al. 2020)")
    yield Entry("sequential", f"{here}.sequential:Sequential", "several in turn (Laidlaw and Feizi 2019)")
    yield Entry(
        "perceptual", f"{here}.perceptual:Perceptual", "near in the features of a net (Laidlaw et al. 2021, LPIPS)"
    )
    yield Entry("wasserstein", f"{here}.wasserstein:Wasserstein", "moved mass (Wong et al. 2019; Wu et al. 2020)")
    yield Entry("fourier", f"{here}.parametrized:Fourier", "any image, as its spectrum (Olah et al. 2017)")
    yield Entry("decorrelated", f"{here}.parametrized:Decorrelated", "any image, as decorrelated colours (same)")
    yield Entry("patch", f"{here}.patch:Patch", "one square may show anything (Brown et al. 2017; Karmon et al. 2018)")
    yield Entry("rigid", f"{here}.rigid:Rigid", "the picture is turned and shifted a little (Engstrom et al. 2019)")
    yield Entry("flow", f"{here}.flow:Flow", "pixels flow by at most eps, neighbours together (Xiao et al. 2018)")
    yield Entry(
        "elastic",
        f"{here}.elastic:Elastic",
        "a smooth field bends the picture by at most eps pixels (Simard et al. 2003)",
    )
