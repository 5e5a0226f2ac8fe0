"""What has to be so in every rendering, one function each; a function yields a sentence for each thing that is not."""

import json
import re

from manifests import component, quantity, seconds, selects

RULES = []

# Kubernetes 1.32: what no kubelet and no policy of a namespace refuses.
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
}

# Between the end of the drain and the kill.
GRACE_MARGIN_S = (10, 30)

# What other manifests let the process open, and what it has open beside its sockets.
DESCRIPTORS, OTHER_DESCRIPTORS = 65_536, 1_000

SOCKETS_PER_POD, CPU_PERCENT = "700", 70

SCALE_UP = {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 30}], "selectPolicy": "Max"}
SCALE_DOWN = {
    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}], "selectPolicy": "Min", "stabilizationWindowSeconds": 600,
}


def rule(function):
    RULES.append(function)
    return function


def where(thing):
    return f"{thing['kind']} {thing['metadata']['name']}"


@rule
def settings_exist(rendered, sources):
    for thing, _, container in rendered.containers():
        for name in rendered.settings(container):
            if name not in sources.settings and name not in sources.command_line and name != "POD_IP":
                yield f"{where(thing)}: roomcast has no setting {name}"


@rule
def variables_are_set_before_they_are_used(rendered, _sources):
    for thing, _, container in rendered.containers():
        before = set()
        for variable in container.get("env", []):
            for used in re.findall(r"\$\((\w+)\)", variable.get("value") or ""):
                if used not in before:
                    yield f"{where(thing)}: {variable['name']} uses {used}, which is not set before it"
            before.add(variable["name"])


@rule
def arguments_exist(rendered, sources):
    flags = {flag for flag, _ in sources.settings.values()} | sources.command_line
    for thing, _, container in rendered.containers():
        command, *rest = container.get("args", [None])
        if command not in sources.commands:
            yield f"{where(thing)}: roomcast has no command {command}"
        for argument in rest:
            if argument.startswith("--") and argument.split("=")[0] not in flags:
                yield f"{where(thing)}: roomcast has no flag {argument}"


@rule
def secrets_are_not_written_down(rendered, sources):
    for thing in rendered.of("Secret"):
        yield f"{where(thing)}: secrets do not belong into manifests"
    for thing in rendered.of("ConfigMap"):
        for name in sources.secrets & set(thing["data"]):
            yield f"{where(thing)}: {name} is written down"
    for thing, _, container in rendered.containers():
        for name, value in rendered.settings(container).items():
            if name in sources.secrets and value is not None:
                yield f"{where(thing)}: {name} is written down"


@rule
def the_image_is_that_of_the_dockerfile(rendered, sources):
    user, entrypoint = sources.image
    for thing, template, container in rendered.containers():
        security = template["spec"]["securityContext"]
        if f"{security['runAsUser']}:{security['runAsGroup']}" != user or "command" in container or entrypoint != "roomcast":
            yield f"{where(thing)}: the image is run by {user} and starts {entrypoint}"


@rule
def the_grace_period_is_the_sum(rendered, sources):
    for deployment, container in rendered.nodes():
        settings = rendered.settings(container)
        deadline = seconds(settings.get("ROOMCAST_DRAIN_DEADLINE") or sources.settings["ROOMCAST_DRAIN_DEADLINE"][1])
        pre_stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        margin = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] - pre_stop - deadline
        if GRACE_MARGIN_S[0] <= margin <= GRACE_MARGIN_S[1] and (pre_stop > 0 or component(deployment) == "worker"):
            continue
        yield f"{where(deployment)}: {margin} s between preStop ({pre_stop}) + drain-deadline ({deadline}) and the grace period"


@rule
def images_have_the_version(rendered, sources):
    for thing, _, container in rendered.containers():
        image, _, digest = container["image"].partition("@")
        tag = image.rpartition("/")[2].partition(":")[2]
        if tag != sources.version and not (digest and not tag):
            yield f"{where(thing)}: the image is {container['image']}, and the version {sources.version}"


@rule
def one_autoscaler_has_the_replicas(rendered, _sources):
    deployment, _ = rendered.server()
    scalers = rendered.of("HorizontalPodAutoscaler", "ScaledObject")
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) != ("Deployment", deployment["metadata"]["name"]):
            yield f"{where(scaler)}: scales {target}"
    if len(scalers) > 1:
        yield "more than one autoscaler: " + ", ".join(map(where, scalers))
    if ("replicas" in deployment["spec"]) == bool(scalers):
        yield f"{where(deployment)}: replicas are the autoscaler's where there is one, and the Deployment's where there is none"


def scaling(scaler):
    """(target of sockets, target of CPU, behaviour, fewest, most) of either kind; None where there is no such metric."""
    spec = scaler["spec"]
    if scaler["kind"] == "ScaledObject":
        triggers = {trigger["type"]: trigger for trigger in spec["triggers"]}
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        fine = triggers["prometheus"]["metricType"] == "AverageValue" and triggers["cpu"]["metricType"] == "Utilization"
        cpu = int(triggers["cpu"]["metadata"]["value"])
        sockets = triggers["prometheus"]["metadata"]["threshold"]
        return sockets if fine else "?", cpu, behavior, spec["minReplicaCount"], spec["maxReplicaCount"]
    pods = [m["pods"] for m in spec["metrics"] if m["type"] == "Pods"]
    cpu = [m["resource"]["target"].get("averageUtilization") for m in spec["metrics"] if m["type"] == "Resource"]
    sockets = pods[0]["target"].get("averageValue", "?") if pods else None
    return sockets, cpu[0] if cpu else None, spec["behavior"], spec["minReplicas"], spec["maxReplicas"]


@rule
def it_scales_fast_up_and_slowly_down(rendered, _sources):
    for scaler in rendered.of("HorizontalPodAutoscaler", "ScaledObject"):
        sockets, cpu, behavior, fewest, most = scaling(scaler)
        if sockets not in (None, SOCKETS_PER_POD) or cpu != CPU_PERCENT:
            yield f"{where(scaler)}: aims at {sockets} sockets and {cpu} % of CPU"
        up = dict(behavior["scaleUp"])
        if up.pop("stabilizationWindowSeconds") > 30 or up != SCALE_UP:
            yield f"{where(scaler)}: scales up so: {up}"
        if behavior["scaleDown"] != SCALE_DOWN:
            yield f"{where(scaler)}: scales down so: {behavior['scaleDown']}"
        if not 2 <= fewest < most:
            yield f"{where(scaler)}: between {fewest} and {most} pods"


@rule
def the_database_expects_all_pods(rendered, _sources):
    deployment, container = rendered.server()
    scalers = rendered.of("HorizontalPodAutoscaler", "ScaledObject")
    pods = scaling(scalers[0])[4] if scalers else deployment["spec"]["replicas"]
    surge = int(deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"].rstrip("%"))
    counts = [pods, *(worker["spec"]["replicas"] for worker, _ in rendered.workers())]
    expected = sum(count + -(-count * surge // 100) for count in counts)
    if rendered.settings(container).get("DB_NODES") != str(expected):
        yield f"{where(deployment)}: there may be {expected} pods in an update, and DB_NODES says otherwise"


@rule
def metrics_exist(rendered, sources):
    known = sources.metrics
    for scaler in rendered.of("HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            name = metric.get("pods", {}).get("metric", {}).get("name")
            if name and name not in known:
                yield f"{where(scaler)}: roomcast has no metric {name}"
    for thing in rendered.of("ScaledObject", "PrometheusRule"):
        for name in sorted(set(re.findall(r"\b(roomcast_[a-z0-9_]+)", json.dumps(expressions(thing))))):
            if re.sub(r"_(bucket|sum|count)$", "", name) not in known and name not in known:
                yield f"{where(thing)}: roomcast has no metric {name}"


def expressions(thing):
    if thing["kind"] == "ScaledObject":
        return [trigger["metadata"].get("query") for trigger in thing["spec"]["triggers"]]
    return [entry["expr"] for group in thing["spec"]["groups"] for entry in group["rules"]]


@rule
def the_adapter_serves_what_the_autoscaler_asks_for(rendered, sources):
    (served,) = sources.adapter["rules"]["custom"]
    series = served["seriesQuery"].partition("{")[0]
    if series not in sources.metrics or not re.fullmatch(served["name"]["matches"], series):
        yield f"prometheus-adapter: {series} is no metric, or is not matched"
    if not re.match(r"sum\(", served["metricsQuery"]) or "<<.GroupBy>>" not in served["metricsQuery"]:
        yield "prometheus-adapter: a pod has several series, which have to be summed"
    for scaler in rendered.of("HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "Pods" and metric["pods"]["metric"]["name"] != served["name"]["as"]:
                yield f"{where(scaler)}: prometheus-adapter serves {served['name']['as']}"


@rule
def keda_asks_about_its_namespace(rendered, _sources):
    for scaler in rendered.of("ScaledObject"):
        for query in filter(None, expressions(scaler)):
            if f'namespace="{scaler["metadata"].get("namespace", "default")}"' not in query:
                yield f"{where(scaler)}: {query} is about another namespace"
        if scaler["spec"]["triggers"][0]["metadata"].get("ignoreNullValues") != "false":
            yield f"{where(scaler)}: no answer of Prometheus would count as no sockets"


@rule
def selectors_select_what_they_are_for(rendered, _sources):
    labels = {component(thing): template["metadata"]["labels"] for thing, template in rendered.workloads()}
    everybody = {"server", "worker"} & labels.keys()
    selectors = [(thing, {component(thing)}, thing["spec"]["selector"]["matchLabels"]) for thing, _ in rendered.nodes()]
    for thing, _ in rendered.nodes():
        spread = thing["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        selectors += [(thing, {component(thing)}, one["labelSelector"]["matchLabels"]) for one in spread]
    services = rendered.of("Service")
    selectors += [(one, everybody if component(one) == "admin" else {"server"}, one["spec"]["selector"]) for one in services]
    selectors += [(one, {component(one)}, one["spec"]["selector"]["matchLabels"]) for one in rendered.of("PodDisruptionBudget")]
    selectors += [(one, everybody, one["spec"]["selector"]["matchLabels"]) for one in rendered.of("PodMonitor")]
    policies = rendered.of("NetworkPolicy")
    selectors += [(one, {component(one)} & everybody, one["spec"]["podSelector"]["matchLabels"]) for one in policies]
    for thing, meant, selector in selectors:
        chosen = {name for name, own in labels.items() if selects(selector, own)}
        if chosen != meant:
            yield f"{where(thing)}: {selector} selects {chosen or 'nobody'}, and is for {meant}"


@rule
def somebody_works_in_the_background(rendered, sources):
    for deployment, container in rendered.nodes():
        told = rendered.settings(container).get("ROOMCAST_BACKGROUND") or sources.settings["ROOMCAST_BACKGROUND"][1]
        wanted = "false" if component(deployment) == "server" and rendered.workers() else "true"
        if told != wanted:
            yield f"{where(deployment)}: ROOMCAST_BACKGROUND is {told}, and should be {wanted}"


@rule
def one_monitor_scrapes_each_pod_once(rendered, _sources):
    monitors = rendered.of("PodMonitor", "ServiceMonitor")
    if len(monitors) > 1:
        yield "each socket would count twice: " + ", ".join(map(where, monitors))
    for thing in rendered.of("ServiceMonitor"):
        selector = thing["spec"]["selector"]["matchLabels"]
        found = [one for one in rendered.of("Service") if selects(selector, one["metadata"]["labels"])]
        if len(found) != 1:
            yield f"{where(thing)}: selects {len(found)} Services"
        for endpoint in thing["spec"]["endpoints"]:
            if not all(endpoint["port"] in [port["name"] for port in one["spec"]["ports"]] for one in found):
                yield f"{where(thing)}: no port {endpoint['port']}"


@rule
def ports_are_those_of_the_container(rendered, _sources):
    deployment, container = rendered.server()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = rendered.settings(container)
    told = {
        "http": settings["ROOMCAST_LISTEN"], "admin": settings["ROOMCAST_ADMIN_LISTEN"],
        "http, to other pods": settings["ROOMCAST_ADVERTISE"],
    }
    for name, address in told.items():
        if int(address.rpartition(":")[2]) != ports.get(name.partition(",")[0]):
            yield f"{where(deployment)}: {name} is {address}, and the ports are {ports}"
    used = [(where(one), port["targetPort"]) for one in rendered.of("Service") for port in one["spec"]["ports"]]
    used += [(probe, container[probe]["httpGet"]["port"]) for probe in container if probe.endswith("Probe")]
    used += [(where(one), end["port"]) for one in rendered.of("PodMonitor") for end in one["spec"]["podMetricsEndpoints"]]
    for policy in rendered.of("NetworkPolicy"):
        used += [(where(policy), port["port"]) for way in policy["spec"]["ingress"] for port in way["ports"]]
        away = [port["port"] for way in policy["spec"]["egress"] for port in way["ports"]]
        if component(policy) == "server" and ports["http"] not in away:
            yield f"{where(policy)}: the other pods cannot be reached"
    for name, port in used:
        if port not in ports:
            yield f"{name}: no port {port}"


@rule
def routes_lead_to_a_service(rendered, _sources):
    ends = []
    for thing in rendered.of("Ingress"):
        for host in thing["spec"]["rules"]:
            services = [path["backend"]["service"] for path in host["http"]["paths"]]
            ends += [(where(thing), one["name"], one["port"].get("name", one["port"].get("number"))) for one in services]
    for thing in rendered.of("HTTPRoute"):
        refs = [ref for one in thing["spec"]["rules"] for ref in one["backendRefs"]]
        ends += [(where(thing), ref["name"], ref["port"]) for ref in refs]
        if any(one["timeouts"] != {"request": "0s", "backendRequest": "0s"} for one in thing["spec"]["rules"]):
            yield f"{where(thing)}: WebSockets would be cut"
    services = {one["metadata"]["name"]: one["spec"] for one in rendered.of("Service")}
    for name, service, port in ends:
        known = [value for one in services.get(service, {}).get("ports", []) for value in (one["name"], one["port"])]
        if port not in known:
            yield f"{name}: no Service {service} with port {port}"
    trusted = rendered.settings(rendered.server()[1]).get("ROOMCAST_TRUSTED_PROXIES")
    if ends and not trusted:
        yield "behind a proxy all clients are one address: ROOMCAST_TRUSTED_PROXIES is not set"


@rule
def proxies_are_let_in(rendered, _sources):
    namespaces = {ref.get("namespace") for one in rendered.of("HTTPRoute") for ref in one["spec"]["parentRefs"]}
    for policy in [one for one in rendered.of("NetworkPolicy") if component(one) == "server"]:
        peers = [peer for way in policy["spec"]["ingress"] for peer in way["from"] if "namespaceSelector" in peer]
        allowed = {peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in peers}
        for namespace in namespaces - allowed:
            yield f"{where(policy)}: the Gateway's namespace {namespace} is not let in"


@rule
def proxies_wait_longer_than_the_heartbeat(rendered, sources):
    settings = rendered.settings(rendered.server()[1])
    ping = seconds(settings.get("ROOMCAST_PING_INTERVAL") or sources.settings["ROOMCAST_PING_INTERVAL"][1])
    for thing in rendered.of("Ingress"):
        for name, value in thing["metadata"]["annotations"].items():
            if name.endswith(("read-timeout", "send-timeout")) and seconds(value.rstrip("s") + "s") < 2 * ping:
                yield f"{where(thing)}: {name} is {value}, and pings come every {ping} s"


@rule
def resources_are_said(rendered, _sources):
    for thing, _, container in rendered.containers():
        requests, limits = container["resources"]["requests"], container["resources"].get("limits", {})
        if not {"cpu", "memory"} <= set(requests) or "memory" not in limits:
            yield f"{where(thing)}: CPU and memory have to be requested, and memory limited"
            continue
        for name, limit in limits.items():
            if quantity(limit) < quantity(requests[name]):
                yield f"{where(thing)}: the limit of {name} is below its request"


@rule
def pods_are_restricted(rendered, _sources):
    for thing, template, container in rendered.containers():
        pod, own = template["spec"].get("securityContext", {}), container.get("securityContext", {})
        wanted = [
            pod.get("runAsNonRoot") is True and own.get("runAsNonRoot") is True, pod.get("runAsUser", 0) > 0,
            pod.get("seccompProfile") == {"type": "RuntimeDefault"}, own.get("allowPrivilegeEscalation") is False,
            own.get("readOnlyRootFilesystem") is True, own.get("capabilities") == {"drop": ["ALL"]},
            not own.get("privileged"), template["spec"].get("automountServiceAccountToken") is False,
            template["spec"].get("enableServiceLinks") is False,
            not any(template["spec"].get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
            not any("hostPath" in volume for volume in template["spec"].get("volumes", [])),
        ]
        if not all(wanted):
            yield f"{where(thing)}: is not restricted (number {wanted.index(False) + 1} of pods_are_restricted)"


@rule
def sysctls_are_those_of_sysctl_conf_that_are_safe(rendered, sources):
    for thing, template in rendered.workloads():
        told = {one["name"]: one["value"] for one in template["spec"]["securityContext"].get("sysctls", [])}
        wanted = {name: value for name, value in sources.sysctls.items() if name in SAFE_SYSCTLS}
        if told and told != wanted:
            yield f"{where(thing)}: sysctl.conf has {wanted}"


@rule
def probes_ask_what_exists(rendered, sources):
    for deployment, container in rendered.nodes():
        paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
        if paths["readinessProbe"] != "/readyz" or {paths["startupProbe"], paths["livenessProbe"]} != {"/livez"}:
            yield f"{where(deployment)}: probes ask {paths}"
    known = sources.paths | {"/metrics"}
    ends = [end for one in rendered.of("PodMonitor") for end in one["spec"]["podMetricsEndpoints"]]
    ends += [end for one in rendered.of("ServiceMonitor") for end in one["spec"]["endpoints"]]
    for path in [*paths.values(), *(end["path"] for end in ends)]:
        if path not in known:
            yield f"roomcast has no {path}"


@rule
def new_pods_come_before_old_ones_go(rendered, _sources):
    for deployment, _ in rendered.nodes():
        spec, update = deployment["spec"], deployment["spec"]["strategy"].get("rollingUpdate", {})
        if update.get("maxUnavailable") != 0 or update.get("maxSurge") != "25%" or spec.get("minReadySeconds", 0) < 5:
            yield f"{where(deployment)}: the rolling update is {update}, minReadySeconds {spec.get('minReadySeconds')}"
        spread = {one["topologyKey"] for one in spec["template"]["spec"].get("topologySpreadConstraints", [])}
        if spread != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{where(deployment)}: pods are spread over {spread}"
    budgets = [one["spec"].get("maxUnavailable") for one in rendered.of("PodDisruptionBudget")]
    if budgets != [1] * len(rendered.nodes()):
        yield "not every Deployment has a PodDisruptionBudget with maxUnavailable 1"


@rule
def sockets_fit_into_the_descriptors(rendered, sources):
    deployment, container = rendered.server()
    sockets = rendered.settings(container).get("ROOMCAST_MAX_SOCKETS") or sources.settings["ROOMCAST_MAX_SOCKETS"][1]
    if not int(SOCKETS_PER_POD) * 2 <= int(sockets) <= DESCRIPTORS - OTHER_DESCRIPTORS:
        yield f"{where(deployment)}: {sockets} sockets do not fit into {DESCRIPTORS} descriptors, or are too few when pods are gone"


@rule
def alerts_are_those_of_the_rule_files(rendered, sources):
    for thing in rendered.of("PrometheusRule"):
        if thing["spec"]["groups"] != sources.alert_groups:
            yield f"{where(thing)}: is not what grafana/rules has; run k8s/generate"


@rule
def names_are_in_one_namespace(rendered, _sources):
    spaces = {thing["metadata"].get("namespace") for thing in rendered.objects if thing["kind"] != "Namespace"}
    if len(spaces) != 1:
        yield f"things are in several namespaces: {spaces}"
    seen = [(thing["kind"], thing["metadata"]["name"]) for thing in rendered.objects]
    for one in sorted({one for one in seen if seen.count(one) > 1}):
        yield f"{' '.join(one)} is there twice"
