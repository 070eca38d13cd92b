"""What stands around each single verb of a VIM."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

Asking: TypeAlias = Callable[[str], AbstractAsyncContextManager[None]]
"""Stands around each single verb, which it names: a turn at the VIM, a bound for its answer."""
