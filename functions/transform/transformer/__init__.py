"""Firehose transformation of CloudWatch Logs records into CloudTrail events, one JSON line each."""
