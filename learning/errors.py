"""What can go wrong, as far as a caller treats it differently."""

from __future__ import annotations


class LearningError(Exception):
    """A failure with a sentence a person can act on; the root of all of ours."""


class ConfigError(LearningError):
    """A setting, option or mapping file breaks its rule."""


class DatabaseUnavailable(LearningError):
    """PostgreSQL cannot be reached, started or understood."""


class ImportRefused(LearningError):
    """A file cannot be imported at all: unknown format, nothing usable, or already imported."""


class MalformedStrand(LearningError):
    """A strand breaks a rule of its kind; it is quarantined with this reason."""


class DecisionRefused(LearningError):
    """A decision on a lesson was not taken: changed meanwhile, not allowed, or not possible."""
