"""Where everything is when nobody says: AWS's documentation account, in the tutorial's Region."""

STACK_NAME = "console-login-firehose"
REGION = "ap-northeast-1"
ACCOUNT_ID = "111122223333"
