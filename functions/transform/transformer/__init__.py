"""Firehose transformation of CloudWatch Logs records into CloudTrail events, one JSON per line."""
