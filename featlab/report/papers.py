"""The papers that pages refer to."""

from __future__ import annotations

from featlab.report.page import Link

ADEBAYO = Link("Adebayo et al. 2018", "https://arxiv.org/abs/1810.03292")
ELHAGE = Link("Elhage et al. 2022", "https://transformer-circuits.pub/2022/toy_model/")
ENGSTROM = Link("Engstrom et al. 2019", "https://arxiv.org/abs/1906.00945")
ETMANN = Link("Etmann et al. 2019", "https://arxiv.org/abs/1905.04172")
GOH_EXAMPLES = Link("Goh 2019", "https://distill.pub/2019/advex-bugs-discussion/response-3/")
GOH_LEAKAGE = Link("Goh 2019", "https://distill.pub/2019/advex-bugs-discussion/response-2/")
HAARPSI = Link("Reisenhofer et al. 2018", "https://arxiv.org/abs/1607.06140")
ILYAS = Link("Ilyas et al. 2019", "https://arxiv.org/abs/1905.02175")
MADRY = Link("Madry et al. 2018", "https://arxiv.org/abs/1706.06083")
NAKANO = Link(
    "Engstrom et al. 2019, response to Nakano", "https://distill.pub/2019/advex-bugs-discussion/original-authors/"
)
NAKKIRAN = Link("Nakkiran 2019", "https://distill.pub/2019/advex-bugs-discussion/response-5/")
OLAH = Link("Olah et al. 2017", "https://distill.pub/2017/feature-visualization/")
SCHMIDT = Link("Schmidt et al. 2018", "https://arxiv.org/abs/1804.11285")
TRAMER = Link("Tram\N{LATIN SMALL LETTER E WITH GRAVE}r and Boneh 2019", "https://arxiv.org/abs/1904.13000")
TSIPRAS = Link("Tsipras et al. 2019", "https://arxiv.org/abs/1805.12152")
YIN = Link("Yin et al. 2019", "https://arxiv.org/abs/1906.08988")
