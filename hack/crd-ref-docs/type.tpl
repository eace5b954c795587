{{- define "type" -}}
{{- $type := . -}}
{{- if markdownShouldRenderType $type }}
{{ if $type.GVK }}##{{ else }}###{{ end }} {{ $type.Name }}

{{ $type.Doc }}
{{ if $type.References }}
Used by {{ range $i, $ref := $type.SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $ref }}{{ end }}.
{{ end }}
{{- if $type.Members }}
| field | what it means | limits |
|---|---|---|
{{ if $type.GVK -}}
| `apiVersion` | `{{ $type.GVK.Group }}/{{ $type.GVK.Version }}` | |
| `kind` | `{{ $type.GVK.Kind }}` | |
{{ end -}}
{{ range $type.Members -}}
| `{{ .Name }}`<br>_{{ markdownRenderType .Type }}_{{ template "required" . }} | {{ template "type_members" . }} | {{ template "limits" . }} |
{{ end -}}
{{ end }}
{{- if $type.EnumValues }}
| value | what it means |
|---|---|
{{ range $type.EnumValues -}}
| `{{ .Name }}` | {{ regexReplaceAll "^\\w+ (is |are )?" (regexReplaceAll "\\s*\n\\s*" .Doc " ") "" | trim | markdownRenderFieldDoc }} |
{{ end -}}
{{ end }}
{{- end -}}
{{- end -}}

{{- define "required" -}}
{{- range .Validation }}{{ if hasPrefix "Required" . }}, required{{ end }}{{ end -}}
{{- end -}}

{{- /* What the comment of a field can't be trusted to repeat. CEL rules are in words there. */ -}}
{{- define "limits" -}}
{{- $sep := "" -}}
{{- range .Validation -}}
{{- if not (regexMatch "^(items:)?(Required|Optional|XValidation)" .) -}}
{{ $sep }}{{ markdownRenderFieldDoc . }}{{ $sep = "<br>" -}}
{{- end -}}
{{- end -}}
{{- end -}}
