"""Decoded planes that are kept in memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["PlaneCache"]


class PlaneCache:
    """Least recently used planes, bounded in bytes; one thread decodes a plane, others wait for it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._planes: OrderedDict[tuple[Any, ...], np.ndarray] = OrderedDict()
        self._busy: dict[tuple[Any, ...], threading.RLock] = {}
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        """Threads that were making planes, or looking for one, stay behind in the process that forked."""
        self._busy, self._lock = {}, threading.Lock()

    def get(self, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        """The plane of a key, made where it is not there; it cannot be written to."""
        with self._lock:
            if key in self._planes:
                self._planes.move_to_end(key)
                return self._planes[key]
            busy = self._busy.setdefault(key, threading.RLock())
        with busy:
            with self._lock:
                if key in self._planes:
                    return self._planes[key]
            try:
                plane = make()
            finally:
                with self._lock:
                    self._busy.pop(key, None)
            plane.setflags(write=False)
            with self._lock:
                self._planes[key] = plane
                self._size += plane.nbytes
                while self._size > self._limit and len(self._planes) > 1:
                    self._size -= self._planes.popitem(last=False)[1].nbytes
            return plane

    def holds(self, key: tuple[Any, ...]) -> bool:
        """Whether a plane is there."""
        with self._lock:
            return key in self._planes

    def clear(self) -> None:
        """Forget all planes."""
        with self._lock:
            self._planes.clear()
            self._size = 0
