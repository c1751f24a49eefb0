"""The sweep codecs: plain (classical), context and transform (learned)."""
