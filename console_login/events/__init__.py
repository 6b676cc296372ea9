"""Events in files: CloudTrail sources, envelopes, Firehose events, and their identity."""
