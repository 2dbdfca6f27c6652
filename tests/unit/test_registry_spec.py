"""Specs against the chart's own rules, and how they become its values."""

from typing import Any

import msgspec
import pytest

from shared.backbone_chart import backbone_chart
from shared.domain.registry.shapes import Spec
from shared.domain.registry.spec import MAX_SPEC, spec_faults, values_of

CHART = backbone_chart()


def faults(value: Any, local: bool = False) -> list[str]:
    """The pointers of what is wrong with a spec."""
    return sorted({fault.pointer for fault in spec_faults(msgspec.convert(value, Spec), CHART, local=local)})


def test_spec_becomes_the_charts_values_when_it_says_little() -> None:
    assert values_of(Spec(), CHART.defaults) == {**CHART.defaults}
    wanted = {"replicas": 3, "jetstream": {"storage": "memory", "size": "1Gi"}, "values": {"jetstream": {"syncInterval": "always"}}}
    made = values_of(msgspec.convert(wanted, Spec), CHART.defaults)
    assert made["replicas"] == 3
    assert made["jetstream"] == {**CHART.defaults["jetstream"], "storage": "memory", "size": "1Gi", "syncInterval": "always"}
    assert made["limits"] == CHART.defaults["limits"]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"replicas": 5, "expose": {"type": "LoadBalancer", "host": "nats.example:4222"}},
        {"values": {"expose": {"annotations": {"a": "x,y", "b": "{z}", "c": "{{ .Values }}", "d": "-v", "e": "&anchor *ref"}}}},
        {"values": {"leafnodes": {"remotes": [{"urls": ["nats-leaf://hub.example:7422"]}]}}},
        {"values": {"resources": {"limits": {"memory": "2Gi"}}, "podLabels": {"a": ""}}},
    ],
)
def test_spec_holds_when_the_chart_takes_it(value: Any) -> None:
    assert faults(value) == []


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"values": {"nonsense": 1}}, "/spec/values"),
        ({"values": {"limits": {"maxPayload": "4 MB"}}}, "/spec/values/limits/maxPayload"),
        ({"values": {"limits": "all"}}, "/spec/values/limits"),
        ({"values": {"image": {"repository": "../../etc"}}}, "/spec/values/image/repository"),
        ({"values": {"image": {"tag": "{{ .Files }}"}}}, "/spec/values/image/tag"),
        ({"values": {"image": {"tag": "-rm"}}}, "/spec/values/image/tag"),
        ({"values": {"image": {"repository": "a,b=c"}}}, "/spec/values/image/repository"),
        ({"values": {"jetstream": {"storageClass": "x\ny: z"}}}, "/spec/values/jetstream/storageClass"),
        ({"values": {"podLabels": {"a\nb": "c"}}}, "/spec/values/podLabels"),
        ({"values": {"podLabels": {"a": "b\x00"}}}, "/spec/values/podLabels/a"),
        ({"values": {"podLabels": {"app.kubernetes.io/instance": "other"}}}, "/spec/values/podLabels"),
        ({"values": {"podAnnotations": {"checksum/config": "x"}}}, "/spec/values/podAnnotations"),
        ({"values": {"limits": {"maxPayload": "65MB"}}}, "/spec/values/limits/maxPayload"),
        ({"values": {"limits": None}}, "/spec/values/limits"),
        ({"values": {"limits": {"maxPayload": None}}}, "/spec/values/limits/maxPayload"),
        ({"values": {"tolerations": [{"key": None}]}}, "/spec/values/tolerations/0/key"),
        ({"values": {"replicas": 3}}, "/spec/values/replicas"),
        ({"values": {"jetstream": {"domain": "hub"}}}, "/spec/values/jetstream/domain"),
        ({"values": {"local": {"configDir": "/etc"}}}, "/spec/values/local"),
        ({"values": {"fullnameOverride": "other"}}, "/spec/values/fullnameOverride"),
        ({"expose": {"host": "169.254.169.254:80"}}, "/spec/expose/host"),
        ({"expose": {"host": "nats"}, "values": {}}, "/spec/expose/host"),
        ({"values": {"leafnodes": {"host": "2130706433:7422"}}}, "/spec/values/leafnodes/host"),
        ({"values": {"leafnodes": {"remotes": [{"urls": ["nats-leaf://127.0.0.1:7422"]}]}}}, "/spec/values/leafnodes/remotes/0/urls/0"),
        ({"values": {"leafnodes": {"remotes": [{"urls": ["nats-leaf://u:p@h:7422"]}]}}}, "/spec/values/leafnodes/remotes/0/urls/0"),
        ({"values": {"expose": {"nodePort": 30000}}}, "/spec/values/expose/nodePort"),
        ({"values": {"podAnnotations": {"a": "x" * MAX_SPEC}}}, "/spec"),
    ],
)
def test_pointer_leads_to_the_field_when_the_chart_refuses_it(value: Any, pointer: str) -> None:
    assert faults(value) == [pointer]


def test_loopback_is_taken_in_a_spec_when_the_provider_is_local() -> None:
    assert faults({"expose": {"host": "127.0.0.1:4222"}}, local=True) == []
