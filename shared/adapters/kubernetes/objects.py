"""What a release has in its cluster, asked for with the kubernetes client. Every call blocks, for at most 10 s, and raises ApiException."""

import json
from typing import TYPE_CHECKING, Any

from shared.adapters.kubernetes.kubeconfig import Kubeconfig

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

WITHIN = 10  # seconds
INSTANCE = "app.kubernetes.io/instance"

Json = dict[str, Any]
NOT_FOUND = 404


class Objects:
    """The objects of one namespace of one cluster."""

    def __init__(self, access: Kubeconfig, namespace: str) -> None:
        from kubernetes import client, config

        from shared.adapters.kubernetes.connections import ApiServer

        configuration = client.Configuration()
        config.load_kube_config_from_dict(access.content(), client_configuration=configuration, persist_config=False)
        configuration.proxy = None  # those of our own environment are not for it
        self._client: ApiClient = client.ApiClient(configuration)
        self._client.rest_client.pool_manager = ApiServer(
            here=access.here,
            cert_reqs="CERT_REQUIRED",
            ca_certs=configuration.ssl_ca_cert,
            cert_file=configuration.cert_file,
            key_file=configuration.key_file,
            **({"server_hostname": configuration.tls_server_name} if configuration.tls_server_name else {}),
        )
        self._namespace = namespace

    def find(self, kind: str, name: str) -> Json | None:
        """An object as the API server has it; None where there is none."""
        from kubernetes import client

        from shared.adapters.kubernetes.failures import ApiException

        core, apps = client.CoreV1Api(self._client), client.AppsV1Api(self._client)
        read = {
            "StatefulSet": apps.read_namespaced_stateful_set,
            "Service": core.read_namespaced_service,
            "ConfigMap": core.read_namespaced_config_map,
            "Secret": core.read_namespaced_secret,
            "NetworkPolicy": client.NetworkingV1Api(self._client).read_namespaced_network_policy,
            "PodDisruptionBudget": client.PolicyV1Api(self._client).read_namespaced_pod_disruption_budget,
        }[kind]
        try:
            return _json(read(name, self._namespace, _preload_content=False, _request_timeout=WITHIN))
        except ApiException as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def pods(self, release: str) -> list[Json]:
        """Those of a release."""
        from kubernetes import client

        return self._listed(client.CoreV1Api(self._client).list_namespaced_pod, release)

    def volumes(self, release: str) -> list[Json]:
        """The volume claims of a release."""
        from kubernetes import client

        return self._listed(client.CoreV1Api(self._client).list_namespaced_persistent_volume_claim, release)

    def monitoring(self, pod: str, path: str) -> Json:
        """What NATS' own monitoring says on a pod, by way of the API server: nothing else has to lead there."""
        from kubernetes import client

        core = client.CoreV1Api(self._client)
        answer = core.connect_get_namespaced_pod_proxy_with_path(
            f"{pod}:8222", self._namespace, path, _preload_content=False, _request_timeout=WITHIN
        )
        return _json(answer)

    def secret(self, name: str) -> dict[str, str]:
        """The data of a Secret, in base64."""
        from kubernetes import client

        found = client.CoreV1Api(self._client).read_namespaced_secret(
            name, self._namespace, _preload_content=False, _request_timeout=WITHIN
        )
        return dict(_json(found).get("data") or {})

    def create_secret(self, name: str, release: str, data: dict[str, str]) -> None:
        """Make a Secret of a release; `data` is in base64."""
        from kubernetes import client

        labels = {"app.kubernetes.io/name": "backbone", INSTANCE: release, "app.kubernetes.io/part-of": "switchboard"}
        body = {"metadata": {"name": name, "labels": labels}, "type": "Opaque", "data": data}
        client.CoreV1Api(self._client).create_namespaced_secret(self._namespace, body, _preload_content=False, _request_timeout=WITHIN)

    def patch_secret(self, name: str, data: dict[str, str]) -> None:
        """Have these in a Secret, beside what is there."""
        from kubernetes import client

        core = client.CoreV1Api(self._client)
        core.patch_namespaced_secret(name, self._namespace, {"data": data}, _preload_content=False, _request_timeout=WITHIN)

    def delete_secret(self, name: str) -> None:
        """Where it is there: an account that never made one may not be allowed to."""
        from kubernetes import client

        from shared.adapters.kubernetes.failures import ApiException

        if self.find("Secret", name) is None:
            return
        try:
            client.CoreV1Api(self._client).delete_namespaced_secret(name, self._namespace, _preload_content=False, _request_timeout=WITHIN)
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _listed(self, of: Any, release: str) -> list[Json]:
        answer = of(self._namespace, label_selector=f"{INSTANCE}={release}", _preload_content=False, _request_timeout=WITHIN)
        return list(_json(answer)["items"])


def said(error: Any) -> str:
    """What the API server says, in a sentence; it quotes no credentials."""
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason
    return f"{error.status} {str(message)[:300]}"


def _json(answer: Any) -> Json:
    found: Json = json.loads(answer.data)
    return found
