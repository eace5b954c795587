{{/* Name of the chart, for labels. */}}
{{- define "ostiary.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the objects: the release's, with the chart's where the release's doesn't have it. A DNS label. */}}
{{- define "ostiary.fullname" -}}
{{- $name := include "ostiary.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- end }}

{{/* Name of cluster-scoped objects, which releases of several namespaces must not share. */}}
{{- define "ostiary.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "ostiary.fullname" .) }}
{{- end }}

{{- define "ostiary.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "ostiary.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "ostiary.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ostiary.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "ostiary.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "ostiary.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ostiary.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Whether permissions are given per namespace: "true" or "". */}}
{{- define "ostiary.namespaced" -}}
{{- if .Values.controller.watchNamespaces }}true{{ end }}
{{- end }}

{{/* What cross-field rules of the values are broken; a schema can't say these in words. */}}
{{- define "ostiary.validate" -}}
{{- if and .Values.controller.watchNamespaces .Values.controller.namespaceSelector }}
{{- fail "controller.watchNamespaces and controller.namespaceSelector exclude each other: set one of them" }}
{{- end }}
{{- if and (eq .Values.controller.leaderElection "Disabled") (or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1)) }}
{{- fail "controller.leaderElection can be Disabled for a single replica only: set replicaCount to 1 and autoscaling.enabled to false" }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) }}
{{- fail "metrics.serviceMonitor needs metrics.service: set metrics.service.enabled to true" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas can't be greater than autoscaling.maxReplicas" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.targetCPUUtilizationPercentage) (not .Values.autoscaling.targetMemoryUtilizationPercentage) }}
{{- fail "autoscaling needs a target: set autoscaling.targetCPUUtilizationPercentage or autoscaling.targetMemoryUtilizationPercentage" }}
{{- end }}
{{- end }}
