"""The context codec: learned prediction, adaptive mixing, integer arithmetic coding."""

from sciai.radar.model.context.codec import ContextCodec
from sciai.radar.model.context.order import CLASSES, class_of, twin_of

__all__ = ["CLASSES", "ContextCodec", "class_of", "twin_of"]
