"""Quotas of the AWS services, with their sources. The deployed function defines its own limits.

Firehose: https://docs.aws.amazon.com/firehose/latest/dev/limits.html
CloudWatch Logs: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
Lambda: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

MIB = 1024 * 1024

# Firehose: the data of a record before base64; a call to PutRecordBatch.
MAX_RECORD_BYTES = 1000 * 1024
MAX_BATCH_RECORDS = 500
MAX_BATCH_BYTES = 4 * MIB

# Firehose: the `firehose:error-output-type` of records that the function could not transform.
PROCESSING_FAILED = "processing-failed"

# CloudWatch Logs: a log event's message.
MAX_LOG_EVENT_BYTES = MIB

# Lambda: the request of a synchronous invocation, 6 MB, with a margin for Firehose's own keys.
MAX_INVOCATION_BYTES = 6 * 1000 * 1000
