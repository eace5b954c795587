{{- define "type_members" -}}
{{- if eq .Name "metadata" -}}
The metadata of every Kubernetes object.
{{- else -}}
{{ regexReplaceAll "\\s*\n\\s*" .Doc " " | markdownRenderFieldDoc }}
{{- end -}}
{{- end -}}
