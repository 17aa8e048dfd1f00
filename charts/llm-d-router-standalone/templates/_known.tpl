{{/* Every key there is, after values.schema.json: a test writes this file. */}}
{{- define "known" -}}
global: null
router: null
{{- end -}}
