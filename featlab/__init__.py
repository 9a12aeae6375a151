"""Which features does this classifier use, which of them are robust, and what can be done with them?

The public names stand in `__init__.pyi`. They are imported when first used, so that `featlab --help` and the listing of
plugins need not wait for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"
