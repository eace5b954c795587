{{- define "gvDetails" -}}
API version `{{ .GroupVersionString }}`. The kinds:

{{ range .SortedKinds -}}
- {{ $.TypeForKind . | markdownRenderTypeLink }}
{{ end }}
{{- range .SortedTypes }}{{ if .GVK }}
{{ template "type" . }}{{ end }}{{ end }}
{{- range .SortedTypes }}{{ if not .GVK }}
{{ template "type" . }}{{ end }}{{ end }}
{{- end -}}
