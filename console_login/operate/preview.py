"""What the function would do with a failed record now."""

import base64
from typing import Any, NamedTuple

from console_login.errors import UserError
from console_login.function import make_importable

# The reasons of records that the function drops because they have nothing to deliver.
_NOTHING_TO_DELIVER = frozenset({"control_message", "no_match"})

# As long as Firehose's own ids, which count toward the size of a response.
_RECORD_ID = "0" * 56


class OptionError(UserError):
    """Options that are invalid or cannot be combined; the message says which."""


class Preview(NamedTuple):
    """What the function would do with a record now.

    reason: the function's reason in its first response.
    events_delivered, events_damaged: in all responses, until nothing is put back any more; damaged
    events arrive in the error output prefix again. Both are 0 for a record that is not sent.
    """

    reason: str
    events_delivered: int
    events_damaged: int

    @property
    def is_empty(self) -> bool:
        """Whether the record has nothing to deliver."""
        return self.reason in _NOTHING_TO_DELIVER


class Previewer:
    """Runs the function's own code on records. Raises OptionError for invalid event names."""

    def __init__(self, event_names: str) -> None:
        make_importable()
        from transformer.batch import Transformer
        from transformer.config import ConfigurationError
        from transformer.config import event_names as names_in
        from transformer.firehose import InputRecord

        try:
            names = names_in({"EVENT_NAMES": event_names})
        except ConfigurationError as error:
            raise OptionError(str(error).replace("EVENT_NAMES: ", "--event-names: ")) from error
        self._transformer = Transformer(names)
        self._input_record = InputRecord

    def preview(self, raw_data: str) -> Preview:
        """Return what the function would do with a record that is alone in its invocation."""
        outcome = self._outcome(raw_data)
        reason, delivered, damaged = outcome.reason.value, outcome.events_delivered, 0
        # Each pass delivers at least one event, until only damaged events are put back.
        while outcome.data is not None and outcome.put_back is not None:
            outcome = self._outcome(base64.b64encode(outcome.put_back).decode())
            delivered += outcome.events_delivered
            if outcome.data is None:
                damaged = outcome.events_in
        return Preview(reason, delivered, damaged)

    def _outcome(self, raw_data: str) -> Any:
        (outcome,) = self._transformer.transform([self._input_record(_RECORD_ID, raw_data)])
        return outcome
