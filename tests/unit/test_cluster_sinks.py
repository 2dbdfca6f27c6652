"""What is taken out of a Deployment that a SinkBinding left something in."""

from typing import Any

from infra.cluster.steps import told_of_sink


def deployment(*containers: list[str]) -> dict[str, Any]:
    """One whose containers have these variables."""
    return {"spec": {"template": {"spec": {"containers": [{"env": [{"name": name, "value": "x"} for name in env]} for env in containers]}}}}


def left(subject: dict[str, Any], changes: list[dict[str, str]]) -> list[list[str]]:
    """The variables after the changes, done in order as RFC 6902 says."""
    containers = [[each["name"] for each in one["env"]] for one in subject["spec"]["template"]["spec"]["containers"]]
    for change in changes:
        place, number = (int(part) for part in change["path"].split("/") if part.isdecimal())
        if change["op"] == "test":
            assert containers[place][number] == change["value"]
        else:
            del containers[place][number]
    return containers


def test_everything_of_a_sink_goes_and_nothing_else_when_it_stayed() -> None:
    subject = deployment(["K_SINK", "A", "K_CE_OVERRIDES", "B"], ["C"], ["D", "K_CA_CERTS", "K_SINK"])
    assert left(subject, told_of_sink(subject)) == [["A", "B"], ["C"], ["D"]]


def test_nothing_is_changed_when_there_is_no_sink() -> None:
    assert told_of_sink(deployment(["A"], [])) == []
    assert told_of_sink({"spec": {"template": {"spec": {"containers": [{"name": "no variables"}]}}}}) == []
