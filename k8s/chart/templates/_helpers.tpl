{{- define "roomcast.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* Short enough for roomcast-admin, roomcast-config and roomcast-migrate. */ -}}
{{- define "roomcast.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else if contains (include "roomcast.name" .) .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "roomcast.name" .) | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What everything of this release has. */ -}}
{{- define "roomcast.labels" -}}
{{ include "roomcast.instance" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "roomcast.instance" -}}
app.kubernetes.io/name: {{ include "roomcast.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* The pods that serve, and no others. */ -}}
{{- define "roomcast.selector" -}}
{{ include "roomcast.instance" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "roomcast.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "roomcast.gracePeriod" -}}
{{- with .Values.drain -}}
{{- if lt (int .deadline) (add (int .delay) (int .window)) -}}
{{- fail "drain.deadline is shorter than drain.delay and drain.window together" -}}
{{- end -}}
{{- add (int .preStop) (int .deadline) (int .margin) -}}
{{- end -}}
{{- end -}}

{{- define "roomcast.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "roomcast.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop:
    - ALL
{{- end -}}

{{- /* A variable out of the Secret: dict "top" . "name" … "key" … "optional" … */ -}}
{{- define "roomcast.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .top.Values.secretName }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{- /* What cannot work is said at once. */ -}}
{{- define "roomcast.check" -}}
{{- if and (or .Values.ingress.enabled .Values.gateway.enabled) (not .Values.trustedProxies) -}}
{{- fail "trustedProxies is empty: behind an ingress or a gateway all clients would count as one address" -}}
{{- end -}}
{{- if and .Values.monitoring.podMonitor .Values.monitoring.serviceMonitor -}}
{{- fail "monitoring.podMonitor and monitoring.serviceMonitor together would count every socket twice" -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and (ne .mode "none") (lt (int .maxReplicas) (int .minReplicas)) -}}
{{- fail "autoscaling.maxReplicas is less than autoscaling.minReplicas" -}}
{{- end -}}
{{- if and (eq .mode "keda") (not .socketsPerPod) -}}
{{- fail "autoscaling.mode keda needs autoscaling.socketsPerPod; for CPU alone take hpa" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The environment of every node, besides the settings. */ -}}
{{- define "roomcast.env" -}}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: ROOMCAST_ADVERTISE
  value: {{ ternary "[$(POD_IP)]:3000" "$(POD_IP):3000" .Values.ipv6 | quote }}
{{- include "roomcast.secretVariable" (dict "top" . "name" "REDIS_URL" "key" "redis-url") | nindent 0 }}
{{- include "roomcast.secretVariable" (dict "top" . "name" "DATABASE_URL" "key" "database-url") | nindent 0 }}
{{- $replica := dict "top" . "name" "DATABASE_URL_READONLY" "key" "database-url-readonly" "optional" true }}
{{- include "roomcast.secretVariable" $replica | nindent 0 }}
{{- $secret := dict "top" . "name" "ROOMCAST_AUTH_SECRET" "key" "auth-secret" "optional" true }}
{{- include "roomcast.secretVariable" $secret | nindent 0 }}
{{- $keys := dict "top" . "name" "ROOMCAST_API_KEYS" "key" "api-keys" "optional" true }}
{{- include "roomcast.secretVariable" $keys | nindent 0 }}
{{- with .Values.extraEnv }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{- /* Over zones and machines; takes the labels of the pods. */ -}}
{{- define "roomcast.spread" -}}
{{- range $index, $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys:
    - pod-template-hash
  labelSelector:
    matchLabels:
      {{- $ | nindent 6 }}
{{- end }}
{{- end -}}

{{- /* The pods that work without clients. */ -}}
{{- define "roomcast.workerSelector" -}}
{{ include "roomcast.instance" . }}
app.kubernetes.io/component: worker
{{- end -}}
