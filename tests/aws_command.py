"""A replacement for the AWS CLI over boto3, for the `aws` commands in the documents.

The AWS CLI pins a botocore that conflicts with the SAM CLI's. Like the AWS CLI, this module checks
service, operation, options and values against botocore's models.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import boto3
import jmespath
from botocore import xform_name
from botocore.model import Shape

_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def main(
    arguments: list[str], environment: Mapping[str, str], folder: Path, output: IO[str]
) -> None:
    """Run one command. Relative paths start at `folder`."""
    endpoint_url = environment.get("AWS_ENDPOINT_URL")
    region = environment.get("AWS_DEFAULT_REGION")
    while arguments[0] in ("--endpoint-url", "--region"):
        name, value, *arguments = arguments
        endpoint_url, region = (
            (value, region) if name == "--endpoint-url" else (endpoint_url, value)
        )
    service, operation, *arguments = arguments
    # In the AWS CLI, `s3` has high-level commands and `s3api` has the API's operations.
    client = boto3.client(
        service.removesuffix("api"),  # type: ignore[call-overload]
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    match service, operation:
        case "logs", "tail":
            lines = _tail(client, *arguments)
        case "s3", "ls":
            lines = (f"{each['Size']} {each['Key']}" for each in _objects(client, *arguments))
        case "s3", "cp":
            lines = _copy(client, folder, *arguments)
        case _:
            lines = _call(client, folder, operation.replace("-", "_"), dict(_options(arguments)))
    for line in lines:
        output.write(f"{line}\n")


def _tail(client: Any, group: str, *arguments: str) -> Iterator[str]:
    options = dict(_options(arguments))
    age = re.fullmatch(r"(\d+)([mhd])", options.pop("since", ["10m"])[0])
    assert age is not None
    assert not options, f"unknown options: {options}"
    since = time.time() - int(age[1]) * _SECONDS[age[2]]
    pages = client.get_paginator("filter_log_events")
    for page in pages.paginate(logGroupName=group, startTime=int(since * 1000)):
        for each in page["events"]:
            yield each["message"]


def _objects(client: Any, flag: str, source: str) -> Iterator[dict[str, Any]]:
    assert flag == "--recursive"
    bucket, prefix = source.removeprefix("s3://").split("/", 1)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


def _copy(client: Any, start: Path, flag: str, source: str, folder: str) -> Iterator[str]:
    bucket, prefix = source.removeprefix("s3://").split("/", 1)
    for each in _objects(client, flag, source):
        path = start / folder / each["Key"].removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, each["Key"], str(path))
        yield f"download: s3://{bucket}/{each['Key']} to {path}"


def _call(client: Any, folder: Path, method: str, options: dict[str, list[str]]) -> Iterator[str]:
    shape = client.meta.service_model.operation_model(
        client.meta.method_to_api_mapping[method]
    ).input_shape
    query, output = (options.pop(name, [""])[0] for name in ("query", "output"))
    members = {xform_name(name, "-"): name for name in shape.members}
    parameters = {
        members[option]: _value(
            shape.members[members[option]], [_text(folder, each) for each in texts]
        )
        for option, texts in options.items()
    }
    if client.can_paginate(method):
        answer = client.get_paginator(method).paginate(**parameters).build_full_result()
    else:
        answer = getattr(client, method)(**parameters)
        del answer["ResponseMetadata"]
    found = jmespath.search(query, answer) if query else answer
    if output != "text":
        # An empty answer prints nothing.
        if found:
            yield json.dumps(found, default=str, indent=2)
        return
    rows = found if isinstance(found, list) else [found]
    if not any(isinstance(row, list) for row in rows):
        rows = [rows]
    for row in rows:
        yield "\t".join(map(str, row))


def _options(arguments: Any) -> Iterator[tuple[str, list[str]]]:
    name, texts = "", []
    for argument in [*arguments, "--"]:
        if argument.startswith("--"):
            if name:
                yield name, texts
            name, texts = argument[2:], []
        else:
            texts.append(argument)


def _text(folder: Path, text: str) -> str:
    return (folder / text[7:]).read_text() if text.startswith("file://") else text


def _value(shape: Shape, texts: list[str]) -> Any:
    if shape.type_name == "boolean":
        assert not texts
        return True
    if shape.type_name == "list":
        if texts[0].startswith("["):
            return json.loads(texts[0])
        return [_value(shape.member, [text]) for text in texts]  # type: ignore[attr-defined]
    (text,) = texts
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "structure":
        if text.startswith("{"):
            return json.loads(text)
        return dict(pair.split("=", 1) for pair in text.split(","))
    return text
