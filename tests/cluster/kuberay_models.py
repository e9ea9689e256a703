"""The fields of KubeRay 1.6 and Kubernetes that our manifests use, and no others: a name that is not here is a typo.

KubeRay's own schemas let unknown fields pass, so that a misspelt `minReplicas` would go unnoticed. A manifest that
needs another field gets it here too, from https://docs.ray.io/en/master/cluster/kubernetes/references/api.html.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SCALES = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def amount(quantity: str) -> float:
    """A Kubernetes quantity as a number: "500m" is 0.5, "2Gi" 2147483648."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m|[KMGT]i)?", quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is no quantity")
    return float(match[1]) * SCALES[match[2] or ""]


def _checked(quantity: str) -> str:
    amount(quantity)
    return quantity


Quantity = Annotated[str, AfterValidator(_checked)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class Strict(BaseModel):
    """Unknown fields, and strings for numbers, are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: Name


class Amounts(Strict):
    cpu: Quantity | None = None
    memory: Quantity | None = None
    gpus: Annotated[Quantity | None, Field(alias="nvidia.com/gpu")] = None


class Resources(Strict):
    requests: Amounts
    limits: Amounts


class SecretKey(Strict):
    name: Name
    key: str


class ValueFrom(Strict):
    secretKeyRef: SecretKey


class Variable(Strict):
    name: str
    valueFrom: ValueFrom


class Port(Strict):
    containerPort: Annotated[int, Field(ge=1, le=65535)]
    name: Name


class Command(Strict):
    command: list[str]


class Probe(Strict):
    exec: Command
    initialDelaySeconds: int
    periodSeconds: int
    timeoutSeconds: int
    failureThreshold: int


class Mount(Strict):
    name: Name
    mountPath: str


class Capabilities(Strict):
    drop: list[Literal["ALL"]]


class ContainerSecurity(Strict):
    allowPrivilegeEscalation: Literal[False]
    capabilities: Capabilities


class Container(Strict):
    name: Name
    image: str
    imagePullPolicy: Literal["IfNotPresent", "Always"]
    securityContext: ContainerSecurity
    resources: Resources
    env: list[Variable] = []
    ports: list[Port] = []
    readinessProbe: Probe
    livenessProbe: Probe
    volumeMounts: list[Mount]


class Profile(Strict):
    type: Literal["RuntimeDefault"]


class PodSecurity(Strict):
    runAsNonRoot: Literal[True]
    runAsUser: Annotated[int, Field(ge=1000)]
    fsGroup: Annotated[int, Field(ge=1000)]
    seccompProfile: Profile


class EmptyDirectory(Strict):
    medium: Literal["Memory"]
    sizeLimit: Quantity


class Claim(Strict):
    claimName: Name


class Volume(Strict):
    name: Name
    emptyDir: EmptyDirectory | None = None
    persistentVolumeClaim: Claim | None = None


class PodSpec(Strict):
    securityContext: PodSecurity
    automountServiceAccountToken: bool
    containers: Annotated[list[Container], Field(min_length=1, max_length=1)]
    volumes: list[Volume]


class Template(Strict):
    spec: PodSpec


class StartParameters(Strict):
    """Arguments of `ray start`, all as text."""

    cpus: Annotated[str, Field(alias="num-cpus", pattern=r"^\d+$")]
    object_store: Annotated[str, Field(alias="object-store-memory", pattern=r"^\d+$")]
    dashboard_host: Annotated[str | None, Field(alias="dashboard-host")] = None


class HeadGroup(Strict):
    serviceType: Literal["ClusterIP"]
    rayStartParams: StartParameters
    template: Template


class WorkerGroup(Strict):
    groupName: Name
    replicas: Annotated[int, Field(ge=0)]
    minReplicas: Annotated[int, Field(ge=0)]
    maxReplicas: Annotated[int, Field(ge=1)]
    rayStartParams: StartParameters
    template: Template


class AuthOptions(Strict):
    mode: Literal["token"]


class AutoscalerOptions(Strict):
    upscalingMode: Literal["Default", "Conservative", "Aggressive"]
    idleTimeoutSeconds: int
    resources: Resources


class ClusterSpec(Strict):
    rayVersion: str
    authOptions: AuthOptions
    enableInTreeAutoscaling: bool
    autoscalerOptions: AutoscalerOptions
    headGroupSpec: HeadGroup
    workerGroupSpecs: Annotated[list[WorkerGroup], Field(min_length=1)]


class RayCluster(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class JobSpec(Strict):
    entrypoint: str
    submissionMode: Literal["K8sJobMode", "HTTPMode", "SidecarMode"]
    backoffLimit: Annotated[int, Field(ge=0)]
    activeDeadlineSeconds: Annotated[int, Field(gt=0)]
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: int
    rayClusterSpec: ClusterSpec


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec


class UpgradeStrategy(Strict):
    type: Literal["NewCluster", "None"]


class ServiceSpec(Strict):
    upgradeStrategy: UpgradeStrategy
    serveConfigV2: str
    rayClusterConfig: ClusterSpec


class RayService(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayService"]
    metadata: Metadata
    spec: ServiceSpec


class StorageAmount(Strict):
    storage: Quantity


class StorageRequest(Strict):
    requests: StorageAmount


class ClaimSpec(Strict):
    accessModes: list[Literal["ReadWriteMany"]]
    storageClassName: str
    resources: StorageRequest


class PersistentVolumeClaim(Strict):
    apiVersion: Literal["v1"]
    kind: Literal["PersistentVolumeClaim"]
    metadata: Metadata
    spec: ClaimSpec


MODELS = {model.__name__: model for model in (RayCluster, RayJob, RayService, PersistentVolumeClaim)}
