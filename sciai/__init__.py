"""sciai: check the question, estimate, check the estimate, say how sure.

Domains are imported by name (`import sciai.radar`), so nothing heavy is loaded before it is needed.

Example:
    >>> import sciai
    >>> sciai.__version__.count(".")
    2
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
