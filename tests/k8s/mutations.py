"""Shows that each rule can fail: a rendering that is fine, one thing in it changed, and the rule that has to notice."""

import copy

MUTATIONS = []


def breaks(rule, kind, name=None):
    """The function changes the first object of this kind, and the rule must not like it."""

    def keep(function):
        MUTATIONS.append((rule, kind, name, function))
        return function

    return keep


def container(thing):
    return thing["spec"]["template"]["spec"]["containers"][0]


def pod(thing):
    return thing["spec"]["template"]["spec"]


@breaks("settings_exist", "ConfigMap")
def a_misspelt_setting(thing):
    thing["data"]["ROOMCAST_MAX_SOCKET"] = "1"


@breaks("settings_exist", "Deployment")
def a_misspelt_variable(thing):
    container(thing)["env"].append({"name": "ROOMCAST_ADVERTISED", "value": "x"})


@breaks("variables_are_set_before_they_are_used", "Deployment")
def a_variable_set_too_late(thing):
    container(thing)["env"].reverse()


@breaks("arguments_exist", "Deployment")
def a_command_that_does_not_exist(thing):
    container(thing)["args"] = ["worker"]


@breaks("arguments_exist", "Deployment")
def a_flag_that_does_not_exist(thing):
    container(thing)["args"].append("--max-socket=1")


@breaks("secrets_are_not_written_down", "Deployment")
def a_secret_in_the_open(thing):
    container(thing)["env"].append({"name": "REDIS_URL", "value": "redis://:hunter2@redis:6379"})


@breaks("secrets_are_not_written_down", "ConfigMap")
def a_secret_among_the_settings(thing):
    thing["data"]["DATABASE_URL"] = "postgres://roomcast:hunter2@postgres/roomcast"


@breaks("the_image_is_that_of_the_dockerfile", "Deployment")
def another_user_than_the_image_is_made_for(thing):
    pod(thing)["securityContext"]["runAsUser"] = 1000


@breaks("the_grace_period_is_the_sum", "Deployment")
def a_grace_period_shorter_than_the_drain(thing):
    pod(thing)["terminationGracePeriodSeconds"] = 30


@breaks("the_grace_period_is_the_sum", "ConfigMap")
def a_drain_longer_than_the_grace_period(thing):
    thing["data"]["ROOMCAST_DRAIN_DEADLINE"] = "10m"


@breaks("images_have_the_version", "Deployment")
def the_latest_image(thing):
    container(thing)["image"] = "registry.example.com:5000/roomcast:latest"


@breaks("images_have_the_version", "Job")
def an_image_without_a_tag(thing):
    container(thing)["image"] = "registry.example.com:5000/roomcast"


@breaks("one_autoscaler_has_the_replicas", "Deployment")
def replicas_beside_the_autoscaler(thing):
    thing["spec"]["replicas"] = 3


@breaks("one_autoscaler_has_the_replicas", "HorizontalPodAutoscaler")
def an_autoscaler_of_something_else(thing):
    thing["spec"]["scaleTargetRef"]["name"] = "another"


@breaks("it_scales_fast_up_and_slowly_down", "HorizontalPodAutoscaler")
def another_target_of_sockets(thing):
    thing["spec"]["metrics"][0]["pods"]["target"]["averageValue"] = "70"


@breaks("it_scales_fast_up_and_slowly_down", "HorizontalPodAutoscaler")
def no_target_of_cpu(thing):
    del thing["spec"]["metrics"][1]


@breaks("it_scales_fast_up_and_slowly_down", "HorizontalPodAutoscaler")
def a_quick_way_down(thing):
    thing["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] = 60


@breaks("it_scales_fast_up_and_slowly_down", "ScaledObject")
def a_slow_way_up_with_keda(thing):
    behavior = thing["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    behavior["scaleUp"]["policies"][0]["value"] = 10


@breaks("it_scales_fast_up_and_slowly_down", "ScaledObject")
def another_target_with_keda(thing):
    thing["spec"]["triggers"][0]["metadata"]["threshold"] = "7000"


@breaks("the_database_expects_all_pods", "HorizontalPodAutoscaler")
def more_pods_than_the_database_knows_of(thing):
    thing["spec"]["maxReplicas"] += 1


@breaks("metrics_exist", "HorizontalPodAutoscaler")
def a_metric_that_does_not_exist(thing):
    thing["spec"]["metrics"][0]["pods"]["metric"]["name"] = "roomcast_sockets_open"


@breaks("metrics_exist", "ScaledObject")
def a_query_for_a_metric_that_does_not_exist(thing):
    thing["spec"]["triggers"][0]["metadata"]["query"] = "sum(roomcast_sockets_open)"


@breaks("the_adapter_serves_what_the_autoscaler_asks_for", "HorizontalPodAutoscaler")
def a_metric_that_the_adapter_does_not_serve(thing):
    thing["spec"]["metrics"][0]["pods"]["metric"]["name"] = "roomcast_sessions"


@breaks("keda_asks_about_its_namespace", "ScaledObject")
def a_query_about_another_namespace(thing):
    thing["spec"]["triggers"][0]["metadata"]["query"] = 'sum(roomcast_open_sockets{namespace="default"})'


@breaks("keda_asks_about_its_namespace", "ScaledObject")
def no_answer_as_no_sockets(thing):
    del thing["spec"]["triggers"][0]["metadata"]["ignoreNullValues"]


@breaks("selectors_select_what_they_are_for", "Service", "roomcast")
def a_service_of_nobody(thing):
    thing["spec"]["selector"]["app.kubernetes.io/component"] = "web"


@breaks("selectors_select_what_they_are_for", "PodDisruptionBudget")
def a_budget_of_the_job_too(thing):
    del thing["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]


@breaks("selectors_select_what_they_are_for", "NetworkPolicy")
def a_policy_of_nobody(thing):
    thing["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] = "other"


@breaks("selectors_select_what_they_are_for", "Deployment", "roomcast-worker")
def workers_that_clients_come_to(thing):
    thing["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] = "server"


@breaks("somebody_works_in_the_background", "ConfigMap")
def nobody_in_the_background_or_everybody(thing):
    told = thing["data"].get("ROOMCAST_BACKGROUND", "true")
    thing["data"]["ROOMCAST_BACKGROUND"] = "false" if told == "true" else "true"


@breaks("somebody_works_in_the_background", "Deployment", "roomcast-worker")
def workers_that_do_not_work(thing):
    container(thing)["env"].append({"name": "ROOMCAST_BACKGROUND", "value": "false"})


@breaks("the_database_expects_all_pods", "Deployment", "roomcast-worker")
def more_workers_than_the_database_knows_of(thing):
    thing["spec"]["replicas"] = 9


@breaks("one_monitor_scrapes_each_pod_once", "PodMonitor")
def two_monitors(thing):
    return {"kind": "ServiceMonitor", "metadata": thing["metadata"], "spec": {"selector": {"matchLabels": {}}, "endpoints": []}}


@breaks("ports_are_those_of_the_container", "Service", "roomcast")
def a_port_that_the_container_has_not(thing):
    thing["spec"]["ports"][0]["targetPort"] = "web"


@breaks("ports_are_those_of_the_container", "ConfigMap")
def another_port_in_the_settings(thing):
    thing["data"]["ROOMCAST_LISTEN"] = "0.0.0.0:8080"


@breaks("ports_are_those_of_the_container", "NetworkPolicy")
def a_policy_that_cuts_the_pods_off(thing):
    thing["spec"]["egress"] = []


@breaks("routes_lead_to_a_service", "HTTPRoute")
def a_route_to_nowhere(thing):
    thing["spec"]["rules"][0]["backendRefs"][0]["port"] = 8080


@breaks("routes_lead_to_a_service", "HTTPRoute")
def a_route_that_cuts_websockets(thing):
    thing["spec"]["rules"][0]["timeouts"]["request"] = "30s"


@breaks("routes_lead_to_a_service", "Ingress")
def an_ingress_to_nowhere(thing):
    thing["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = "nowhere"


@breaks("routes_lead_to_a_service", "ConfigMap")
def no_trusted_proxies(thing):
    del thing["data"]["ROOMCAST_TRUSTED_PROXIES"]


@breaks("proxies_are_let_in", "HTTPRoute")
def a_gateway_that_is_not_let_in(thing):
    thing["spec"]["parentRefs"][0]["namespace"] = "gateways"


@breaks("proxies_wait_longer_than_the_heartbeat", "Ingress")
def a_proxy_that_cuts_quiet_sockets(thing):
    thing["metadata"]["annotations"]["nginx.org/proxy-read-timeout"] = "30s"


@breaks("resources_are_said", "Deployment")
def no_requests(thing):
    del container(thing)["resources"]["requests"]["cpu"]


@breaks("resources_are_said", "Deployment")
def a_limit_below_the_request(thing):
    container(thing)["resources"]["limits"]["memory"] = "256Mi"


@breaks("pods_are_restricted", "Deployment")
def a_writable_root(thing):
    container(thing)["securityContext"]["readOnlyRootFilesystem"] = False


@breaks("pods_are_restricted", "Deployment")
def a_capability(thing):
    container(thing)["securityContext"]["capabilities"]["add"] = ["NET_ADMIN"]


@breaks("pods_are_restricted", "Job")
def a_job_as_root(thing):
    pod(thing)["securityContext"]["runAsUser"] = 0


@breaks("pods_are_restricted", "Deployment")
def a_token_of_the_api(thing):
    pod(thing)["automountServiceAccountToken"] = True


@breaks("sysctls_are_those_of_sysctl_conf_that_are_safe", "Deployment")
def a_sysctl_that_is_not_safe(thing):
    pod(thing)["securityContext"]["sysctls"] = [{"name": "net.core.somaxconn", "value": "65535"}]


@breaks("pods_are_restricted", "Pod")
def a_test_that_may_write(thing):
    thing["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = False


@breaks("probes_ask_what_exists", "Deployment")
def a_probe_of_what_does_not_exist(thing):
    container(thing)["readinessProbe"]["httpGet"]["path"] = "/ready"


@breaks("probes_ask_what_exists", "PodMonitor")
def metrics_elsewhere(thing):
    thing["spec"]["podMetricsEndpoints"][0]["path"] = "/stats"


@breaks("new_pods_come_before_old_ones_go", "Deployment")
def a_pod_less_in_an_update(thing):
    thing["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = 1


@breaks("new_pods_come_before_old_ones_go", "Deployment")
def all_pods_in_one_zone(thing):
    del pod(thing)["topologySpreadConstraints"][0]


@breaks("new_pods_come_before_old_ones_go", "PodDisruptionBudget")
def any_number_of_pods_at_once(thing):
    thing["spec"]["maxUnavailable"] = "100%"


@breaks("sockets_fit_into_the_descriptors", "ConfigMap")
def too_many_sockets(thing):
    thing["data"]["ROOMCAST_MAX_SOCKETS"] = "100000"


@breaks("alerts_are_those_of_the_rule_files", "PrometheusRule")
def an_alert_changed_by_hand(thing):
    thing["spec"]["groups"][0]["rules"][0]["expr"] += " > 1"


@breaks("metrics_exist", "PrometheusRule")
def an_alert_on_nothing(thing):
    thing["spec"]["groups"][0]["rules"][0]["expr"] = "roomcast_nothing > 1"


@breaks("names_are_in_one_namespace", "Service", "roomcast-admin")
def another_namespace(thing):
    thing["metadata"]["namespace"] = "elsewhere"


def mutate(rendered, kind, name, function):
    """A copy of a rendering with the change in it."""
    changed = type(rendered)(f"{rendered.name}, {function.__name__}", copy.deepcopy(rendered.objects))
    more = function(changed.named(kind, name)[0])
    changed.objects += [more] if more else []
    return changed
