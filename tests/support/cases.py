"""Which values of a parameter are tried when."""

from typing import Any

import pytest


def rest_slow(first: Any, *rest: Any) -> list[Any]:
    """Values of a parameter: the first is tried in every run of the tests, the rest where there is time."""
    alike = [value if isinstance(value, tuple) else (value,) for value in rest]
    return [first, *(pytest.param(*value, marks=pytest.mark.slow) for value in alike)]
