"""Query name minimisation (RFC 9156): each server is asked for one label more than its zone has."""

from __future__ import annotations

from netlab.policy.dns_response import Alias, Answer, Negative
from netlab.proto.dns import Question
from netlab.proto.dns_names import fold, is_within, labels

_HIDDEN_LIMIT = 10  # queries of one question that hide something (section 2.3)


class Minimiser:
    """What to ask on the way to `question`; with `active` false always the question itself."""

    def __init__(self, question: Question, active: bool) -> None:
        self._question = question
        self._parts = labels(question.name)
        self._known = 0  # labels, from the right, that are known to be no cut below the present zone
        self._left = _HIDDEN_LIMIT if active else 0

    def asked(self, zone: str) -> Question:
        """For a server of `zone`: the question, or an A question for a name above it."""
        count = max(len(labels(zone)), self._known) + 1
        if not self._left or count >= len(self._parts) or not is_within(self._question.name, zone):
            return self._question
        self._left -= 1
        return Question(".".join(self._parts[-count:]), "A")

    def learn(self, asked: Question, outcome: Answer | Alias | Negative) -> None:
        """The name above is in the same zone. Where it does not exist, or is an alias, ask openly: some
        servers deny names that have others below them."""
        if isinstance(outcome, Answer) or (isinstance(outcome, Negative) and outcome.rcode == "NOERROR"):
            self._known = len(labels(fold(asked.name)))
        else:
            self._left = 0
