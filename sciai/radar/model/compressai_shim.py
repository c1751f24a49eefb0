"""compressai, imported where it is needed and without torchvision.

compressai's metadata asks for torchvision, which would drag another torch (with gigabytes of CUDA) behind
it, or break at import when its version does not match ("operator torchvision::nms does not exist"). Of it
compressai only uses ``torchvision.transforms``, whose upper-case names it registers as image transforms
(compressai 1.2.8, ``registry/transforms.py``); sciai transforms no images. So where torchvision is not
installed an empty stand-in answers for those two modules while compressai is imported, and is gone
afterwards: other libraries that probe for torchvision still find that there is none.

Nothing here runs before it is called: compressai takes seconds to import.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from sciai.core.errors import SciaiError

__all__ = ["load_compressai"]

_NAMES = ("torchvision", "torchvision.transforms")
_LOCK = threading.Lock()


def load_compressai() -> ModuleType:
    """The compressai package.

    Returns:
        The module, with ``entropy_models`` and ``ans`` loaded.

    Raises:
        SciaiError: when it is not installed or cannot be imported; says how to install it.

    Example:
        >>> load_compressai().__name__
        'compressai'
    """
    with _LOCK, _stand_in():
        try:
            package = importlib.import_module("compressai")
            importlib.import_module("compressai.entropy_models")
            importlib.import_module("compressai.ans")
        except ImportError as error:
            raise SciaiError(
                f"compressai cannot be imported ({error}); the transform codec needs it. "
                "Install it without its dependencies: pip install --no-deps compressai==1.2.8"
            ) from error
    return package


@contextmanager
def _stand_in() -> Iterator[None]:
    """Empty modules for torchvision in ``sys.modules``, unless it or compressai is there already."""
    if "compressai" in sys.modules or "torchvision" in sys.modules or importlib.util.find_spec("torchvision"):
        yield
        return
    package, transforms = (ModuleType(name) for name in _NAMES)
    package.transforms = transforms  # type: ignore[attr-defined]
    # a spec, because importlib.util.find_spec raises for a module in sys.modules that has none
    for module in (package, transforms):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    sys.modules.update({_NAMES[0]: package, _NAMES[1]: transforms})
    try:
        yield
    finally:
        for name in _NAMES:
            sys.modules.pop(name, None)
