"""The context codec: learned prediction, adaptive mixing, integer arithmetic coding."""

from sciai.radar.model.context.codec import CLASSES, ContextCodec, class_of, twin_of

__all__ = ["CLASSES", "ContextCodec", "class_of", "twin_of"]
