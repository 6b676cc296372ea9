"""Tests that the output of `make package` can be deployed without SAM."""

import platform
from pathlib import Path
from typing import Any

import pytest
from deployed import LACKS, REGION, Cloud, without
from packaged import dist
from support import TOKYO, envelope, gz

from console_login.stack import template

BUCKET = "of-releases"
MACHINE = platform.machine().replace("aarch64", "arm64")


@pytest.fixture(scope="module")
def package(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Upload the zips; return the plain template without the resources that MiniStack lacks."""
    folder = tmp_path_factory.mktemp("package") / "dist"
    done = dist(folder)
    assert done.returncode == 0, done.stderr
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for path in folder.glob("*.zip"):
        s3.put_object(Bucket=BUCKET, Key=f"releases/{path.name}", Body=path.read_bytes())
    return without(template.load(Path(folder) / "template.yaml"), LACKS["template.yaml"])


def test_a_package_makes_what_sam_makes(
    cloud: Cloud, package: Any, pipeline: str, runs_the_function: None
) -> None:
    place = {"CodeBucket": BUCKET, "CodePrefix": "releases/", "Architecture": MACHINE}
    assert cloud.deploy("packaged", package, Name="packaged", **place) == "CREATE_COMPLETE"
    assert cloud.resources("packaged").keys() == cloud.resources(pipeline).keys()

    def configuration(name: str) -> dict[str, Any]:
        found = cloud.client("lambda").get_function_configuration(FunctionName=f"{name}-transform")
        names = ("Runtime", "Handler", "MemorySize", "Timeout", "Architectures", "Environment")
        return {key: str(found[key]).replace(name, "NAME") for key in names}

    assert configuration("packaged") == configuration(pipeline)
    cloud.put("packaged", gz(envelope([TOKYO, '{"eventName":"AssumeRole"}'])))
    objects = cloud.objects(cloud.outputs("packaged")["BucketName"])
    assert list(objects.values()) == [TOKYO + "\n"]
    # doctor reports the same as for a stack that SAM deployed.
    printed = cloud.command("doctor", "--stack", "packaged").stdout
    assert "sends its events to log group" in printed
    assert printed.count("finding") == cloud.command("doctor", "--stack", pipeline).stdout.count(
        "finding"
    )
