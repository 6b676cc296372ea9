"""athena.yaml, a separate stack from the pipeline. Its queries are tested in tests/local."""

import json
import re

import pytest
from stacks import ATHENA, ATHENA_COMBINATIONS, DOCUMENT, athena, only

every_one = pytest.mark.parametrize("name", ATHENA_COMBINATIONS)


def test_nothing_refers_to_the_pipelines_stack() -> None:
    # Neither stack imports or reads the other, so either can be removed or fail alone.
    text = json.dumps(ATHENA)
    assert not re.search(r"ImportValue|Fn::Transform|resolve:|AWS::StackName|AWS::StackId", text)
    assert not [each for each in ATHENA["Outputs"].values() if "Export" in each]
    assert not set(ATHENA["Resources"]) & set(DOCUMENT["Resources"])


@every_one
def test_it_creates_only_a_database_a_table_a_work_group_and_queries(name: str) -> None:
    # No bucket, policy or role, and so nothing on which the pipeline's delivery depends.
    types = {resource.type for resource in athena(name).resources.values()}
    assert types == {
        "AWS::Athena::NamedQuery",
        "AWS::Athena::WorkGroup",
        "AWS::Glue::Database",
        "AWS::Glue::Table",
    }


@every_one
def test_the_work_group_is_kept_with_what_users_saved(name: str) -> None:
    for resource in athena(name).resources.values():
        kept = resource.type == "AWS::Athena::WorkGroup"
        assert ("DeletionPolicy" in resource.attributes) is kept
        if kept:
            assert resource.attributes["DeletionPolicy"] == "RetainExceptOnCreate"
            assert resource.attributes["UpdateReplacePolicy"] == "Retain"
            # Otherwise Athena deletes the saved queries together with the workgroup.
            assert "RecursiveDeleteOption" not in resource.properties


@every_one
def test_the_table_reads_lines_with_athenas_default_delimiter(name: str) -> None:
    descriptor = only(athena(name), "AWS::Glue::Table")["TableInput"]["StorageDescriptor"]
    library = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
    assert descriptor["SerdeInfo"] == {"SerializationLibrary": library}
    assert "field.delim" not in json.dumps(ATHENA)
    assert descriptor["Columns"] == [{"Name": "line", "Type": "string"}]


@every_one
def test_the_database_is_named_by_cloudformation(name: str) -> None:
    database = only(athena(name), "AWS::Glue::Database")
    assert "DatabaseName" not in database
    assert "Name" not in database["DatabaseInput"]


@every_one
def test_the_locations_of_table_and_results_match_the_pipeline(name: str) -> None:
    resolved = athena(name)
    parameters = resolved.parameters
    location = f"s3://{parameters['BucketName']}/{parameters['Prefix']}"
    table = only(resolved, "AWS::Glue::Table")["TableInput"]
    assert table["StorageDescriptor"]["Location"] == location
    assert table["Parameters"]["storage.location.template"] == f"{location}${{day}}/"
    group = only(resolved, "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
    assert group["EnforceWorkGroupConfiguration"] is True
    results = group["ResultConfiguration"]
    # Under the prefix whose objects the bucket's lifecycle deletes.
    assert results["OutputLocation"] == (
        f"s3://{parameters['BucketName']}/athena-results/{parameters['WorkGroupName']}/"
    )
    assert results["EncryptionConfiguration"] == {
        "EncryptionOption": "SSE_KMS",
        "KmsKey": parameters["ResultKeyArn"],
    }


@every_one
def test_every_query_is_in_the_work_group_and_on_the_database(name: str) -> None:
    resolved = athena(name)
    queries = resolved.of_type("AWS::Athena::NamedQuery").values()
    assert len({query.properties["Name"] for query in queries}) == len(queries) == 8
    for query in queries:
        assert query.properties["WorkGroup"] == resolved.parameters["WorkGroupName"]
        assert query.properties["Database"] == resolved.resources["SignInsDatabase"].physical_id
        if query.properties["Name"] == "differing-lines":
            continue
        # Copies have identical lines, so a forged line with the same eventID hides no sign-in.
        assert "SELECT DISTINCT line\n" in query.properties["QueryString"]
        assert "eventID" not in query.properties["QueryString"]
