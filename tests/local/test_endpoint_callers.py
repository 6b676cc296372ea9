"""Who may call `local --serve`: AWS clients on this machine, but no web page in a browser."""

import http.client
import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest
from serving import BUCKET, STREAM, Endpoint, serving
from support import TOKYO, b64, envelope, gz

STACK = b"console-login-firehose"
PUT_RECORD = {"X-Amz-Target": "Firehose_20150804.PutRecord"}
DESCRIBE_STACKS, S3 = (
    {
        "Authorization": f"AWS4-HMAC-SHA256 Credential=x/20240330/ap-northeast-1/{service}/"
        "aws4_request, SignedHeaders=host, Signature=x"
    }
    for service in ("cloudformation", "s3")
)
RECORD = json.dumps(
    {"DeliveryStreamName": STREAM, "Record": {"Data": b64(gz(envelope([TOKYO])))}}
).encode()
REQUESTS = {
    "put a record": ("POST", "/", PUT_RECORD, RECORD),
    "reset": ("POST", "/moto-api/reset", {}, b""),
    "list objects": ("GET", f"/{BUCKET}?list-type=2", S3, b""),
    "put an object": ("PUT", f"/{BUCKET}/x.html", S3, b"<script></script>"),
    "describe stacks": ("POST", "/", DESCRIBE_STACKS, b"Action=DescribeStacks&StackName=" + STACK),
    "preflight": ("OPTIONS", "/", {"Access-Control-Request-Method": "PUT"}, b""),
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        yield running


def answer(
    endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Send a request with exactly these headers, and Content-Length."""
    address = urlsplit(endpoint.url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        got = connection.getresponse()
        return got.status, {k.lower(): v for k, v in got.getheaders()}, got.read()
    finally:
        connection.close()


def host(endpoint: Endpoint) -> str:
    return urlsplit(endpoint.url).netloc


def port(endpoint: Endpoint) -> int | None:
    return urlsplit(endpoint.url).port


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": "https://example.com"},
        # A sandboxed frame, a file, a redirected form.
        {"Origin": "null"},
        {"Origin": ""},
        # A page that the endpoint itself served, such as an object.
        {"Origin": "http://{host}"},
        # A page's images, scripts and links send no Origin.
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
        # Older browsers send none of these: Safari before 16.4.
        {"User-Agent": "Mozilla/5.0 (Macintosh) Version/15.6 Safari/605.1.15"},
        # DNS rebinding: the page's own host name resolves to this address.
        {"Host": "example.com:{port}"},
        {"Host": "example.com"},
        {"Host": "localhost.example.com:{port}"},
        {"Host": "example.com@127.0.0.1:{port}"},
        {"Host": f"{BUCKET}.s3.amazonaws.com"},
        {"Host": "127.0.0.1.nip.io:{port}"},
        {"Host": "0.0.0.0:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1:"},
        {"Host": "127.0.0.1:{port}x"},
        {"Host": ""},
        {"Host": None},
    ],
    ids=str,
)
def test_a_page_in_a_browser_is_refused(
    request_: tuple[str, str, dict[str, str], bytes],
    sent: dict[str, str | None],
    endpoint: Endpoint,
) -> None:
    method, path, headers, body = request_
    all_headers = {"Host": host(endpoint)} | headers
    for name, value in sent.items():
        if value is None:
            del all_headers[name]
        else:
            all_headers[name] = value.format(host=host(endpoint), port=port(endpoint))
    before = endpoint.keys(prefix="")
    status, answered, text = answer(endpoint, method, path, all_headers, body)
    assert status == 403
    assert answered["content-type"] == "text/plain; charset=utf-8"
    assert text.decode().count("\n") == 1
    assert "rejected" in text.decode()
    assert not [name for name in answered if name.startswith("access-control-")]
    # The request wrote, reset and delivered nothing.
    assert endpoint.keys(prefix="") == before
    assert endpoint.client("firehose").describe_delivery_stream(DeliveryStreamName=STREAM)


def test_a_client_on_this_machine_is_answered_without_cors() -> None:
    names = ["127.0.0.1:{port}", "127.0.0.1", "localhost:{port}", "LOCALHOST", "[::1]:{port}"]
    with serving() as running:
        # The reset comes last, because it deletes what the other requests read.
        for request, (method, path, headers, body) in sorted(
            REQUESTS.items(), key=lambda item: item[0] == "reset"
        ):
            for name in names:
                all_headers = headers | {"Host": name.format(port=port(running))}
                status, answered, _ = answer(running, method, path, all_headers, body)
                assert status == 200, (request, name)
                assert not [each for each in answered if each.startswith("access-control-")]


def test_a_buckets_cors_rules_have_no_effect(endpoint: Endpoint) -> None:
    s3 = endpoint.client("s3")
    s3.create_bucket(
        Bucket="open", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["*"]}
    s3.put_bucket_cors(Bucket="open", CORSConfiguration={"CORSRules": [rule]})
    s3.put_object(Bucket="open", Key="x", Body=b"y")
    status, answered, text = answer(endpoint, "GET", "/open/x", S3 | {"Host": host(endpoint)}, b"")
    assert (status, text) == (200, b"y")
    assert not [each for each in answered if each.startswith("access-control-")]
    sent = {
        "Host": host(endpoint),
        "Origin": "https://example.com",
        "Access-Control-Request-Method": "GET",
    }
    status, answered, _ = answer(endpoint, "OPTIONS", "/open/x", sent, b"")
    assert status == 403
    assert not [each for each in answered if each.startswith("access-control-")]
    s3.delete_object(Bucket="open", Key="x")


def test_a_user_who_types_the_address_is_answered(endpoint: Endpoint) -> None:
    sent = S3 | {"Host": host(endpoint), "Sec-Fetch-Site": "none", "User-Agent": "Mozilla/5.0"}
    assert answer(endpoint, "GET", f"/{BUCKET}?list-type=2", sent, b"")[0] == 200
