"""Default names: AWS's documentation account and the tutorial's Region."""

STACK_NAME = "console-login-firehose"
REGION = "ap-northeast-1"
ACCOUNT_ID = "111122223333"
