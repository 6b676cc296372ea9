"""The size of a response, counted as the JSON that the runtime sends."""

from collections.abc import Iterable
from json.encoder import encode_basestring_ascii

# Lambda's limit for a synchronous response is 6 MB (6,291,456 bytes by AWS's quotas,
# 6,291,556 in its runtime emulator). AWS does not document what the runtime adds to the handler's
# response: this leaves about 290 KB for it.
MAX_RESPONSE_BYTES = 6_000_000

_EMPTY_RESPONSE = len('{"records": []}')
# The longest result of a record without data, with the comma after it, and what data adds to it.
_RECORD = len('{"recordId": , "result": "ProcessingFailed"}, ')
_DATA = len('{"recordId": , "result": "Ok", "data": ""}, ') - _RECORD


class ResponseBudget:
    """The space left in a response that must contain a result for each of `record_ids`.

    Lines are counted in bytes before base64. is_untouched: no record has been delivered yet.
    """

    def __init__(self, record_ids: Iterable[str], max_bytes: int = MAX_RESPONSE_BYTES) -> None:
        self._max_bytes = max_bytes
        # The runtime may escape ids or not: an escaped id is the longest form.
        bare_records = sum(len(encode_basestring_ascii(each)) + _RECORD for each in record_ids)
        self._left = max_bytes - _EMPTY_RESPONSE - bare_records
        self.is_untouched = True

    @property
    def room(self) -> int:
        """The bytes of lines that one more record may deliver, or 0."""
        return max(0, (self._left - _DATA) // 4 * 3)

    def room_alone(self, record_id: str) -> int:
        """Return the bytes of lines that a record could deliver if it were alone."""
        return ResponseBudget([record_id], self._max_bytes).room

    def take(self, line_bytes: int) -> None:
        """Count a record that delivers this many bytes of lines."""
        self._left -= _DATA + (line_bytes + 2) // 3 * 4
        self.is_untouched = False
