{{/* What the controller does in each namespace that it serves. Secrets are watched by their metadata; the value of one is
read only where an object of that namespace refers to it. The test compares these with the generated config/rbac. */}}
{{- define "ostiary.servedRules" -}}
- apiGroups: [ostiary.dev]
  resources: [pipelines, serviceendpoints, consumers, jwtcredentials]
  verbs: [get, list, watch]
- apiGroups: [ostiary.dev]
  resources: [pipelines/status, serviceendpoints/status, consumers/status, jwtcredentials/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services, secrets]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [referencegrants]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
