{{/* A key that nobody reads is a mistake that nobody would notice. */}}
{{- define "routerlib.validate.known" -}}
{{- include "routerlib.validate.keys" (dict "values" (.Values | toYaml | fromYaml) "known" (include "known" . | fromYaml) "path" "") -}}
{{- include "routerlib.validate.keys" (dict "values" (.Values.router | toYaml | fromYaml) "known" (include "routerlib.known" . | fromYaml) "path" "router.") -}}
{{- end -}}

{{- define "routerlib.validate.keys" -}}
{{- range $key := keys .values | sortAlpha -}}
{{- if not (hasKey $.known $key) -}}
{{- $near := list -}}
{{- range $other := keys $.known | sortAlpha -}}
{{- if hasPrefix (lower $key | trunc 4) (lower $other) }}{{ $near = append $near (printf "%s%s" $.path $other) }}{{ end -}}
{{- end -}}
{{- if $near }}{{ fail (printf "%s%s is no value of this chart: did you mean %s? Rename it, or remove it" $.path $key (join " or " $near)) }}{{ end -}}
{{- $place := $.path | trimSuffix "." -}}
{{- fail (printf "%s%s is no value of this chart: remove it, or use one that there is%s: %s" $.path $key (ternary (printf " below %s" $place) "" (ne $place "")) (keys $.known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- $value := index $.values $key -}}
{{- $below := index $.known $key -}}
{{- if and (kindIs "map" $below) (kindIs "map" $value) }}{{ include "routerlib.validate.keys" (dict "values" $value "known" $below "path" (printf "%s%s." $.path $key)) }}{{ end -}}
{{- end -}}
{{- end -}}
