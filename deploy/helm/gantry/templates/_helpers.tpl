{{/* Every template below takes a dict: root (the chart's context), name (the
service) and, where it says so, values (the service's values). */}}

{{- define "gantry.fullname" -}}
{{- printf "%s-%s" .root.Release.Name .name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "gantry.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "gantry.labels" -}}
{{ include "gantry.selector" . }}
app.kubernetes.io/part-of: gantry
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "gantry.metadata" -}}
name: {{ include "gantry.fullname" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "gantry.labels" . | nindent 2 }}
{{- end }}

{{/* By digest only (rule E6). values: the service's. */}}
{{- define "gantry.image" -}}
{{- with .root.Values.registry }}{{ . }}/{{ end -}}
{{ .values.image.repository }}@{{ required (printf "%s.image.digest is required" .name) .values.image.digest }}
{{- end }}

{{/* What the pods of all services share. values: the service's. */}}
{{- define "gantry.podDefaults" -}}
serviceAccountName: {{ include "gantry.fullname" . }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
enableServiceLinks: false
terminationGracePeriodSeconds: 30
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "gantry.selector" . | nindent 8 }}
{{- end }}

{{- define "gantry.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "gantry.commonArgs" -}}
- --metrics-listen=:9090
- --log-level={{ .root.Values.logLevel }}
- --tls-cert=/etc/gantry/tls/tls.crt
- --tls-key=/etc/gantry/tls/tls.key
- --tls-ca=/etc/gantry/tls/ca.crt
{{- end }}

{{/* values: the service's. */}}
{{- define "gantry.tlsVolume" -}}
- name: tls
  secret:
    secretName: {{ .values.tlsSecret | quote }}
    defaultMode: 0440
{{- end }}

{{/* The process answers on its metrics port; being restarted helps against
nothing else that could be wrong. */}}
{{- define "gantry.liveness" -}}
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  failureThreshold: 6
{{- end }}

{{/* values: the service's. */}}
{{- define "gantry.disruptionBudget" -}}
{{- if gt (int .values.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "gantry.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "gantry.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{/* NetworkPolicy peers that may read /metrics. */}}
{{- define "gantry.metricsIngress" -}}
{{- with .root.Values.metrics.from }}
- from:
    {{- toYaml . | nindent 4 }}
  ports:
    - {port: metrics, protocol: TCP}
{{- end }}
{{- end }}

{{/* Names are looked up in the cluster. */}}
{{- define "gantry.dnsEgress" -}}
- to:
    - namespaceSelector: {}
      podSelector:
        matchLabels:
          k8s-app: kube-dns
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{/* host:port of each cluster-mgr, separated by commas. Takes the chart's context. */}}
{{- define "gantry.managers" -}}
{{- $name := include "gantry.fullname" (dict "root" . "name" "cluster-mgr") }}
{{- $all := list }}
{{- range until (int .Values.clusterMgr.replicas) }}
{{- $all = append $all (printf "%s-%d.%s.%s.svc:7000" $name . $name $.Release.Namespace) }}
{{- end }}
{{- join "," $all }}
{{- end }}
