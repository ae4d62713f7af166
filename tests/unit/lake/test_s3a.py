"""What a job's S3A settings would end in, told before it starts."""

import pytest

from include.lake.s3a import PREFIX, problems, s3a_profile

ENDPOINT, REGION = "http://10.0.0.10:9000", "ap-northeast-2"
GOOD = s3a_profile(ENDPOINT, REGION)


def changed(**values: str | None) -> dict[str, str]:
    conf = dict(GOOD)
    for name, value in values.items():
        key = PREFIX + name.replace("__", "-").replace("_", ".")
        conf.pop(key, None)
        if value is not None:
            conf[key] = value
    return conf


def test_the_profile_has_no_problem_on_its_own_server() -> None:
    assert list(problems(GOOD, ENDPOINT, REGION)) == []
    assert list(problems(s3a_profile("https://lake.example:9000/", REGION), "https://lake.example:9000", REGION)) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"endpoint": None}, f"{PREFIX}endpoint is not set, so S3A would ask Amazon. Set it to {ENDPOINT}"),
        ({"endpoint": ""}, f"{PREFIX}endpoint is not set, so S3A would ask Amazon. Set it to {ENDPOINT}"),
        ({"endpoint": "10.0.0.10:9000"}, f"{PREFIX}endpoint is '10.0.0.10:9000', without http:// or https://; S3A would retry for minutes. Set it to {ENDPOINT}"),
        ({"endpoint": "http://"}, f"{PREFIX}endpoint is 'http://', without http:// or https://; S3A would retry for minutes. Set it to {ENDPOINT}"),
        ({"endpoint": "http://10.0.0.10:9001"}, f"{PREFIX}endpoint is 'http://10.0.0.10:9001', and the lake is at {ENDPOINT}. Set it to that"),
        ({"endpoint_region": None}, f"{PREFIX}endpoint.region is not set, and the server's region is {REGION}: it would answer 400 Bad Request. Set it to {REGION}"),
        ({"endpoint_region": "us-east-1"}, f"{PREFIX}endpoint.region is us-east-1, and the server's region is {REGION}: it would answer 400 Bad Request. Set it to {REGION}"),
        ({"path_style_access": None}, f"{PREFIX}path.style.access is not true: S3A would look for a host called BUCKET.10.0.0.10. Set it to true"),
        ({"path_style_access": "false"}, f"{PREFIX}path.style.access is not true: S3A would look for a host called BUCKET.10.0.0.10. Set it to true"),
        ({"signing__algorithm": "S3SignerType"}, f"{PREFIX}signing-algorithm overrides the signature: it clashes with signature v4, and the server answers 400 Bad Request. Remove it"),
        ({"s3_signing__algorithm": "AWS4SignerType"}, f"{PREFIX}s3.signing-algorithm overrides the signature: it clashes with signature v4, and the server answers 400 Bad Request. Remove it"),
    ],
)  # fmt: skip
def test_each_clash_is_told_with_its_remedy(change: dict[str, str | None], problem: str) -> None:
    assert list(problems(changed(**change), ENDPOINT, REGION)) == [problem]


def test_all_of_them_are_told_at_once() -> None:
    assert len(list(problems({f"{PREFIX}signing-algorithm": "S3SignerType"}, ENDPOINT, REGION))) == 4


def test_the_profile_is_what_was_measured() -> None:
    assert GOOD[f"{PREFIX}committer.name"] == "magic", "the default committer breaks at the second write to a locked bucket"
    assert GOOD[f"{PREFIX}aws.credentials.provider"].endswith("EnvironmentVariableCredentialsProvider"), "one provider, else 11 s of waiting"
    assert GOOD[f"{PREFIX}cross.region.access.enabled"] == "false"
    assert not [k for k in GOOD if "change.detection" in k], "it costs no request, and it sees a file that is replaced while it is read"
    assert not [k for k in GOOD if "signing" in k or "access.key" in k or "secret.key" in k], "no signing override, and no key in a job's configuration"
