"""The one error that means "the caller can mend this".

Everything a user may have got wrong (a file, a field, a value, an option) is raised as `InputError`. The command line
prints it and exits with code 2, the HTTP service answers it as a 4xx; neither shows a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input, told so that it can be mended.

    Args:
        field: what is wrong: a file, an option, a dotted key such as ``algorithm.learning_rate``.
        problem: what is wrong with it, with the value.
        fix: what to do about it; may be empty where the problem says it all.
    """

    def __init__(self, field: str, problem: str, fix: str = "") -> None:
        self.field = field
        self.problem = problem
        self.fix = fix
        super().__init__(f"{field}: {problem}" + (f" ({fix})" if fix else ""))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return InputError, (self.field, self.problem, self.fix)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, else the list of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return "known: " + ", ".join(names)
