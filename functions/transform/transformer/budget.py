"""The size of an answer, counted as the JSON that the runtime sends."""

from collections.abc import Iterable
from json.encoder import encode_basestring_ascii

# Lambda's limit for a synchronous answer is 6 MB (6,291,456 bytes by AWS's quotas,
# 6,291,556 in its runtime emulator). What the runtime adds around the handler's answer is not
# documented: some 290 KB are left for it.
MAX_ANSWER_BYTES = 6_000_000

_EMPTY_ANSWER = len('{"records": []}')
# The longest answer without data, and the comma after it; what one with data has more than that.
_RECORD = len('{"recordId": , "result": "ProcessingFailed"}, ')
_DATA = len('{"recordId": , "result": "Ok", "data": ""}, ') - _RECORD


class AnswerBudget:
    """What still fits into an answer that will name all of `record_ids`.

    Bytes of lines are counted before base64. is_untouched: nothing is delivered yet.
    """

    def __init__(self, record_ids: Iterable[str], max_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._max_bytes = max_bytes
        # Ids escaped, as the runtime does or does not: none is longer than that.
        bare_records = sum(len(encode_basestring_ascii(each)) + _RECORD for each in record_ids)
        self._left = max_bytes - _EMPTY_ANSWER - bare_records
        self.is_untouched = True

    @property
    def room(self) -> int:
        """How many bytes of lines one more record may deliver, 0 for none."""
        return max(0, (self._left - _DATA) // 4 * 3)

    def room_alone(self, record_id: str) -> int:
        """Return how many bytes of lines a record could deliver if it were alone."""
        return AnswerBudget([record_id], self._max_bytes).room

    def take(self, line_bytes: int) -> None:
        """Count a record that delivers so many bytes of lines."""
        self._left -= _DATA + (line_bytes + 2) // 3 * 4
        self.is_untouched = False
