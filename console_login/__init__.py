"""The operators' command line of console-login-firehose; never deployed."""
