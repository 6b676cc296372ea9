"""The AWS CLI's way of calling an API, over boto3: what the documents' `aws` commands need.

The real one pins a botocore of its own, which SAM CLI's excludes. Service, operation, options and
their values are checked against botocore's models, as the AWS CLI does.
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import jmespath
from botocore import xform_name
from botocore.model import Shape

_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def main(service: str, operation: str, *arguments: str) -> None:
    endpoint = None
    if service == "--endpoint-url":
        endpoint, service, (operation, *arguments) = operation, arguments[0], arguments[1:]
    client = boto3.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]
    if (service, operation) == ("logs", "tail"):
        group, options = arguments[0], dict(_options(arguments[1:]))
        age = re.fullmatch(r"(\d+)([mhd])", options.pop("since", ["10m"])[0])
        assert age is not None
        assert not options, f"not known here: {options}"
        since = time.time() - int(age[1]) * _SECONDS[age[2]]
        pages = client.get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=group, startTime=int(since * 1000)):
            for each in page["events"]:
                print(each["message"])
        return
    if (service, operation) == ("s3", "ls"):
        for each in _objects(client, *arguments):
            print(each["LastModified"], each["Size"], each["Key"])
        return
    if (service, operation) == ("s3", "cp"):
        _copy(client, *arguments)
        return
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(
        client.meta.method_to_api_mapping[method]
    ).input_shape
    options = dict(_options(arguments))
    query, output = (options.pop(name, [None])[0] for name in ("query", "output"))
    members = {xform_name(name, "-"): name for name in shape.members}
    parameters = {
        members[option]: _value(shape.members[members[option]], texts)
        for option, texts in options.items()
    }
    if client.can_paginate(method):
        answer = client.get_paginator(method).paginate(**parameters).build_full_result()
    else:
        answer = getattr(client, method)(**parameters)
    found = jmespath.search(query, answer) if query else answer
    if output == "text":
        rows = found if isinstance(found, list) else [found]
        if not any(isinstance(row, list) for row in rows):
            rows = [rows]
        for row in rows:
            print("\t".join(map(str, row)))
    else:
        print(json.dumps(found, default=str, indent=2))


def _objects(client: Any, flag: str, source: str) -> Iterator[dict[str, Any]]:
    assert flag == "--recursive"
    bucket, prefix = source.removeprefix("s3://").split("/", 1)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


def _copy(client: Any, flag: str, source: str, folder: str) -> None:
    bucket, prefix = source.removeprefix("s3://").split("/", 1)
    for each in _objects(client, flag, source):
        path = Path(folder) / each["Key"].removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, each["Key"], str(path))


def _options(arguments: Any) -> Iterator[tuple[str, list[str]]]:
    name, texts = "", []
    for argument in [*arguments, "--"]:
        if argument.startswith("--"):
            if name:
                yield name, texts
            name, texts = argument[2:], []
        else:
            texts.append(argument)


def _value(shape: Shape, texts: list[str]) -> Any:
    if shape.type_name == "list":
        return [_value(shape.member, [text]) for text in texts]  # type: ignore[attr-defined]
    (text,) = texts
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "structure":
        if text.startswith("{"):
            return json.loads(text)
        return dict(pair.split("=", 1) for pair in text.split(","))
    return text


if __name__ == "__main__":
    main(*sys.argv[1:])
