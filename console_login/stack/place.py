"""Defaults: a stack name, the tutorial's Region, and the account id of AWS's documentation."""

STACK_NAME = "console-login-firehose"
REGION = "ap-northeast-1"
ACCOUNT_ID = "111122223333"
