"""Mutations of the manifests, each with the check that must detect it."""

import re

from stacks import container, labels, pod


def sampler(stack):
    return stack.services()["sampler"]


def rewarder(stack):
    return stack.services()["rewarder"]


def learner(stack):
    return stack.services()["learner"]


def settings(stack, old, new):
    """Replaces in the settings file."""
    for found in stack.of("ConfigMap"):
        text = found["data"]["settings.toml"]
        assert re.search(old, text, re.M), f"no {old} in the settings"
        found["data"]["settings.toml"] = re.sub(old, new, text, count=1, flags=re.M)


def variable(workload, name, value):
    """Sets an existing variable."""
    (entry,) = [one for one in container(workload)["env"] if one["name"] == name]
    entry.clear()
    entry.update(name=name, value=value)


def argument(workload, old, new):
    """Replaces an argument."""
    arguments = container(workload)["args"]
    arguments[arguments.index(old)] = new


def volume(workload, name):
    """Returns a volume of the workload's pods."""
    (found,) = [one for one in pod(workload)["volumes"] if one["name"] == name]
    return found


def policy(stack, name):
    """The specification of a NetworkPolicy."""
    return stack.get("NetworkPolicy", name)["spec"]


def service(stack, name):
    """The specification of a Service."""
    return stack.get("Service", name)["spec"]


def trigger(stack, index):
    """The metadata of a trigger of the ScaledObject."""
    return stack.get("ScaledObject", "ddpo-sampler")["spec"]["triggers"][index]["metadata"]


def other_selector(selector):
    selector["app.kubernetes.io/component"] = "scorer"


# (description, the check that detects it, mutation)
MUTATIONS = [
    ("an unknown setting", "binaries", lambda s: settings(s, "^run_id", "run_name")),
    ("a setting of another type", "binaries", lambda s: settings(s, "^num_epochs = .*", 'num_epochs = "many"')),
    ("an unknown table", "binaries", lambda s: settings(s, r"^\[sampler\]", "[drawer]")),
    ("an unknown flag", "binaries", lambda s: argument(sampler(s), "--listen=0.0.0.0:50051", "--port=50051")),
    ("an unknown variable", "binaries",
     lambda s: container(sampler(s))["env"].append({"name": "DDPO_SERVICE_TOCKEN", "value": "x"})),
    ("an unknown program", "binaries", lambda s: container(learner(s)).update(command=["ddpo-trainer"])),
    ("listening on another port", "binaries",
     lambda s: argument(rewarder(s), "--listen=0.0.0.0:50052", "--listen=0.0.0.0:50062")),
    ("listening on loopback", "binaries",
     lambda s: argument(rewarder(s), "--listen=0.0.0.0:50052", "--listen=127.0.0.1:50052")),
    ("a containerPort", "binaries", lambda s: container(learner(s))["ports"][0].update(containerPort=50054)),
    ("a probe asks another port", "binaries",
     lambda s: container(sampler(s))["readinessProbe"]["exec"].update(command=["ddpo", "health", "127.0.0.1:50052"])),
    ("liveness asks for readiness", "binaries",
     lambda s: container(sampler(s))["livenessProbe"]["exec"]["command"].remove("--live")),
    ("a workload's selector", "workloads", lambda s: other_selector(sampler(s)["spec"]["selector"]["matchLabels"])),
    ("a pod's label", "workloads", lambda s: other_selector(labels(learner(s)))),
    ("a Secret's name", "workloads", lambda s: volume(learner(s), "token")["secret"].update(secretName="ddpo-tokens")),
    ("a Secret's key", "workloads", lambda s: volume(learner(s), "redis")["secret"]["items"][0].update(key="secret")),
    ("a Secret's file", "workloads",
     lambda s: variable(sampler(s), "DDPO_SERVICE_TOKEN_FILE", "/run/ddpo/tocken")),
    ("a Secret's variable", "workloads",
     lambda s: container(s.get("Deployment", "ddpo-redis"))["env"][0]["valueFrom"]["secretKeyRef"].update(key="key")),
    ("a ConfigMap's name", "workloads", lambda s: s.of("ConfigMap")[0]["metadata"].update(name="ddpo-settings")),
    ("a variable before the one that it refers to", "workloads",
     lambda s: container(s.get("Deployment", "ddpo-redis"))["env"].reverse()),
    ("a volume is not mounted", "workloads", lambda s: container(learner(s))["volumeMounts"].pop()),
    ("the run's folder dies with the pod", "workloads", lambda s: settings(s, '"/runs/', '"/tmp/')),
    ("the drain outlasts the pod", "workloads", lambda s: pod(sampler(s)).update(terminationGracePeriodSeconds=20)),
    ("the learner's grace", "workloads", lambda s: pod(learner(s)).update(terminationGracePeriodSeconds=10)),
    ("the drain in the settings", "workloads",
     lambda s: settings(s, "^grace_period_seconds = [0-9]+", "grace_period_seconds = 60")),
    ("an image without a tag", "workloads", lambda s: container(learner(s)).update(image="ddpo")),
    ("two images", "workloads", lambda s: container(learner(s)).update(image="ddpo:other")),
    ("a Service's selector", "network", lambda s: other_selector(service(s, "ddpo-rewarder")["selector"])),
    ("a Service's port", "network", lambda s: service(s, "ddpo-rewarder")["ports"][0].update(port=50053)),
    ("a Service's targetPort", "network", lambda s: service(s, "ddpo-learner")["ports"][0].update(targetPort="http")),
    ("a Service with an address", "network", lambda s: service(s, "ddpo-learner").pop("clusterIP")),
    ("a Service's name", "network", lambda s: s.get("Service", "ddpo-redis")["metadata"].update(name="redis")),
    ("the rewarder's address", "network", lambda s: settings(s, "ddpo-rewarder:50052", "ddpo-rewarder:50051")),
    ("the learner's host", "network", lambda s: settings(s, "ddpo-learner:50053", "ddpo-teacher:50053")),
    ("Redis at another name", "network",
     lambda s: variable(sampler(s), "DDPO_SERVICE_REDIS_URL", "redis://redis:6379")),
    ("no token", "network", lambda s: container(rewarder(s))["env"].pop(0)),
    ("Redis' password for a rewarder", "network",
     lambda s: container(rewarder(s))["env"].append({"name": "DDPO_SERVICE_REDIS_PASSWORD_FILE", "value": "x"})),
    ("a policy's selector", "network",
     lambda s: other_selector(policy(s, "ddpo-rewarder")["podSelector"]["matchLabels"])),
    ("a policy's port", "network", lambda s: policy(s, "ddpo-learner")["ingress"][0]["ports"][0].update(port=50052)),
    ("a policy that opens everything", "network", lambda s: policy(s, "ddpo-redis").update(ingress=[{}])),
    ("no policy that closes", "network", lambda s: s.objects.remove(s.get("NetworkPolicy", "ddpo-nothing"))),
    ("private addresses as the Hub", "network",
     lambda s: policy(s, "ddpo-hub")["egress"][0]["to"][0]["ipBlock"].pop("except")),
    ("no names", "network", lambda s: s.objects.remove(s.get("NetworkPolicy", "ddpo-dns"))),
    ("a budget's selector", "scaling",
     lambda s: other_selector(s.of("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"])),
    ("an autoscaler's target", "scaling",
     lambda s: s.of("HorizontalPodAutoscaler")[0]["spec"]["scaleTargetRef"].update(name="rewarder")),
    ("an autoscaler's share of nothing", "scaling", lambda s: container(rewarder(s))["resources"].pop("requests")),
    ("an autoscaler and replicas", "scaling", lambda s: rewarder(s)["spec"].update(replicas=2)),
    ("more rewarders than the learner takes", "scaling",
     lambda s: s.of("HorizontalPodAutoscaler")[0]["spec"].update(maxReplicas=65)),
    ("two learners", "scaling", lambda s: learner(s)["spec"].update(replicas=2)),
    ("two GPUs", "gpus", lambda s: container(learner(s))["resources"]["limits"].update({"nvidia.com/gpu": 2})),
    ("no GPU for a program on CUDA", "gpus",
     lambda s: container(sampler(s))["resources"]["limits"].pop("nvidia.com/gpu")),
    ("a GPU that the pod does not see", "gpus",
     lambda s: settings(s, '^sampler_device = "cuda"', 'sampler_device = "cuda:1"')),
    ("all GPUs of the node", "gpus",
     lambda s: container(sampler(s))["env"].append({"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"})),
    ("a workspace of cuBLAS", "gpus",
     lambda s: container(learner(s))["env"].append({"name": "CUBLAS_WORKSPACE_CONFIG", "value": ":0:0"})),
    ("a cache of kernels without a limit", "gpus",
     lambda s: volume(learner(s), "cuda-cache").update(emptyDir={})),
    ("a cache of kernels above its limit", "gpus",
     lambda s: variable(sampler(s), "CUDA_CACHE_MAXSIZE", "1073741824")),
    ("a cache of kernels on the root", "gpus",
     lambda s: variable(sampler(s), "CUDA_CACHE_PATH", "/var/cache/kernels")),
    ("a run as root", "restricted", lambda s: pod(learner(s))["securityContext"].update(runAsNonRoot=False)),
    ("capabilities", "restricted", lambda s: container(learner(s))["securityContext"].pop("capabilities")),
    ("a writable root", "restricted",
     lambda s: container(sampler(s))["securityContext"].update(readOnlyRootFilesystem=False)),
    ("no seccomp", "restricted", lambda s: pod(sampler(s))["securityContext"].pop("seccompProfile")),
    ("escalation", "restricted", lambda s: container(sampler(s))["securityContext"].pop("allowPrivilegeEscalation")),
    ("a folder of the node", "restricted",
     lambda s: pod(sampler(s))["volumes"].append({"name": "node", "hostPath": {"path": "/"}})),
    ("the node's network", "restricted", lambda s: pod(sampler(s)).update(hostNetwork=True)),
    ("a namespace that allows more", "restricted",
     lambda s: s.of("Namespace")[0]["metadata"]["labels"].clear()),
    ("an unknown field", "schemas", lambda s: pod(learner(s)).update(terminationGraceSeconds=5)),
    ("a field of another type", "schemas", lambda s: container(learner(s))["ports"][0].update(containerPort="50053")),
    ("an unknown API version", "schemas",
     lambda s: s.of("HorizontalPodAutoscaler")[0].update(apiVersion="autoscaling/v2beta2")),
]

# The same for stacks with components.
WITH_COMPONENTS = [
    (("keda",), "the stream's name", "scaling", lambda s: trigger(s, 0).update(stream="ddpo:{quickstart}:orders")),
    (("keda",), "the group's name", "scaling", lambda s: trigger(s, 1).update(consumerGroup="sampler")),
    (("keda",), "the run's name", "scaling", lambda s: settings(s, 'run_id = "ddpo"', 'run_id = "other"')),
    (("keda",), "Redis as KEDA knows it", "scaling", lambda s: trigger(s, 0).update(address="ddpo-redis:6379")),
    (("keda",), "no authentication", "scaling",
     lambda s: s.objects.remove(s.get("TriggerAuthentication", "ddpo-redis"))),
    (("keda",), "a trigger of both kinds", "schemas", lambda s: trigger(s, 0).update(pendingEntriesCount="2")),
    (("keda",), "a kind without a schema", "schemas", lambda s: s.of("ScaledObject")[0].update(kind="ScaledJob")),
    (("tls",), "an address without TLS", "network",
     lambda s: variable(sampler(s), "DDPO_SAMPLER_REWARDERS", "http://ddpo-rewarder:50052")),
    (("tls",), "TLS and insecure", "network",
     lambda s: variable(sampler(s), "DDPO_SERVICE_INSECURE", "true")),
    (("telemetry",), "a monitor's port", "network",
     lambda s: s.of("PodMonitor")[0]["spec"]["podMetricsEndpoints"][0].update(port="http")),
    (("telemetry",), "a monitor's field", "schemas", lambda s: s.of("PodMonitor")[0]["spec"].update(jobLabels="x")),
    (("cert-manager",), "an issuer of two kinds", "schemas",
     lambda s: s.get("Issuer", "ddpo-self-signed")["spec"].update(ca={"secretName": "x"})),
]
