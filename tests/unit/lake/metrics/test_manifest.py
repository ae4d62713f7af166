"""A SparkApplication as text: what is secret, or may be, is not in it."""

import copy
import json
from typing import Any

import pytest

from include.lake.metrics.manifest import LEFT_OUT, readable
from tests.timing import fastest
from tests.unit.lake.metrics.made import document

SECRET = "hunter2-X9"


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(document("sparkapplications-2")["items"][0])
    return found


def test_one_of_homelake_is_shown_whole_but_for_what_is_named_like_a_secret() -> None:
    given = recorded()
    before = copy.deepcopy(given)
    shown = readable(given)
    assert given == before, "what was given is not changed"
    assert (shown["kind"], shown["metadata"]["name"], shown["status"]) == ("SparkApplication", given["metadata"]["name"], given["status"])
    assert shown["spec"]["driver"] == given["spec"]["driver"], "where a secret comes from is no secret"
    left_out = {k for k, v in shown["spec"]["sparkConf"].items() if v == LEFT_OUT}
    assert left_out == {"spark.hadoop.fs.s3a.aws.credentials.provider"}
    assert {k: v for k, v in given["spec"]["sparkConf"].items() if k not in left_out}.items() <= shown["spec"]["sparkConf"].items()
    assert "managedFields" not in shown["metadata"]


@pytest.mark.parametrize(
    "name",
    ["spark.hadoop.fs.s3a.access.key", "spark.hadoop.fs.s3a.secret.key", "spark.hadoop.fs.s3a.session.token", "spark.hadoop.fs.s3a.encryption.key",
     "spark.authenticate.secret", "spark.ssl.keyPassword", "spark.kubernetes.driverEnv.WHATEVER", "spark.executorEnv.WHATEVER",
     "spark.hadoop.fs.azure.account.key.example.dfs.core.windows.net", "spark.yarn.appMasterEnv.A", "spark.redis.auth.passwd", "kafka.sasl.jaas.config"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["sparkConf", "hadoopConf"])
def test_settings_with_the_name_of_a_secret(name: str, where: str) -> None:
    given = recorded()
    given["spec"][where] = {name: SECRET, "spark.app.name": "it stays"}
    assert readable(given)["spec"][where] == {name: LEFT_OUT, "spark.app.name": "it stays"}


def test_environment_variables_of_any_name_in_any_place() -> None:
    given = recorded()
    given["spec"]["driver"]["env"].append({"name": "HARMLESS", "value": SECRET})
    given["spec"]["executor"]["envVars"] = {"HARMLESS": SECRET}
    given["spec"]["driver"]["sidecars"] = [{"name": "s", "env": [{"name": "X", "value": SECRET}, SECRET]}]
    given["spec"]["driver"]["template"] = {"spec": {"containers": [{"name": "c", "env": [{"name": "Y", "value": SECRET}]}]}}
    shown = readable(given)
    assert SECRET not in json.dumps(shown)
    assert {"name": "HARMLESS", "value": LEFT_OUT} in shown["spec"]["driver"]["env"]
    assert shown["spec"]["executor"]["envVars"] == {"HARMLESS": LEFT_OUT}


@pytest.mark.parametrize(
    "text",
    [f"-Dfs.s3a.secret.key={SECRET} -Xmx1g", f"-Dfs.s3a.encryption.key={SECRET}", f'-Djavax.net.ssl.keyStorePassword="{SECRET} and more"',
     f"s3a://AKIA0001:{SECRET}@bucket/path", f"https://{SECRET}@example.org/", f'{{"password": "{SECRET}", "user": "u"}}', f"--api-key={SECRET}",
     f"run --db-password {SECRET} --rows 5", f"PASSWORD: {SECRET}", f"Authorization: Bearer {SECRET}", f"token = '{SECRET}'",
     f'org.apache.kafka.common.security.scram.ScramLoginModule required username="u" password="{SECRET}";'],
)  # fmt: skip
def test_what_follows_the_name_of_a_secret_in_a_text(text: str) -> None:
    given = recorded()
    given["spec"]["arguments"] = [text]
    given["spec"]["driver"]["javaOptions"] = text
    given["status"]["applicationState"]["errorMessage"] = f"driver container failed: {text}"
    assert SECRET not in json.dumps(readable(given))


def test_the_value_of_an_option_that_is_an_argument_of_its_own() -> None:
    given = recorded()
    given["spec"]["arguments"] = ["--path", "s3a://datalake/x/", "--password", SECRET, "--rows", "5", "--token", "--dry-run"]
    assert readable(given)["spec"]["arguments"] == ["--path", "s3a://datalake/x/", "--password", LEFT_OUT, "--rows", "5", "--token", LEFT_OUT]


def test_kubectls_copy_of_the_whole_is_not_shown() -> None:
    given = recorded()
    given["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"x": SECRET}), "homelake/dag-id": "lake_spark"}
    given["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    assert readable(given)["metadata"]["annotations"] == {"homelake/dag-id": "lake_spark"}


def test_a_long_text_is_read_soon() -> None:
    for text in ("a" * 200_000, "token" * 40_000, "--secret " * 20_000, " " * 200_000):
        assert fastest(lambda long=text: readable({"status": {"message": long}})) < 1, text[:10]
