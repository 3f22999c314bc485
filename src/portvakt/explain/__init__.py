"""A token explained: each check passed, failed or never reached, in plain words."""

from portvakt.explain.explanation import Explanation, StepExplanation, explain
from portvakt.explain.texts import LANGUAGES, Language

__all__ = ["LANGUAGES", "Explanation", "Language", "StepExplanation", "explain"]
