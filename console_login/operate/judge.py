"""What the function would do with a failed record now."""

import base64
from typing import Any, NamedTuple

from console_login.errors import UserError
from console_login.function import make_importable

# What the function drops, and no one misses.
_NOTHING_IN_IT = frozenset({"control_message", "no_match"})

# As long as Firehose's own: an answer counts it.
_RECORD_ID = "0" * 56


class OptionError(UserError):
    """Options that do not go together, or make no sense; the message says which."""


class Fate(NamedTuple):
    """What a record would do now.

    reason: the function's, of the first answer.
    events_delivered, events_damaged: in all answers, until nothing of it goes back any more;
    damaged ones come into the error prefix again. Of a record that is not sent, both are 0.
    """

    reason: str
    events_delivered: int
    events_damaged: int

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it that anyone misses."""
        return self.reason in _NOTHING_IN_IT


class Judge:
    """The function's own code, asked what it would do. Raises OptionError for wrong names."""

    def __init__(self, event_names: str) -> None:
        make_importable()
        from transformer.batch import Transformer
        from transformer.config import ConfigurationError
        from transformer.config import event_names as names_in
        from transformer.firehose import InputRecord

        try:
            names = names_in({"EVENT_NAMES": event_names})
        except ConfigurationError as error:
            raise OptionError(f"--event-names: {error}") from error
        self._transformer = Transformer(names)
        self._input_record = InputRecord

    def fate(self, raw_data: str) -> Fate:
        """Return what a record would do, alone in its invocation."""
        outcome = self._outcome(raw_data)
        reason, delivered, damaged = outcome.reason.value, outcome.events_delivered, 0
        # Of what goes back at least one event is delivered each time, until only damaged are left.
        while outcome.data is not None and outcome.put_back is not None:
            outcome = self._outcome(base64.b64encode(outcome.put_back).decode())
            delivered += outcome.events_delivered
            if outcome.data is None:
                damaged = outcome.events_in
        return Fate(reason, delivered, damaged)

    def _outcome(self, raw_data: str) -> Any:
        (outcome,) = self._transformer.transform([self._input_record(_RECORD_ID, raw_data)])
        return outcome
