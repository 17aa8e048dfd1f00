{{/* Containers beside the picker that others make: a tokenizer, and servers that predict latency. */}}
{{- define "routerlib.tokenizer.container" -}}
{{- $t := .Values.router.tokenizer -}}
{{- $command := $t.command | default (list "vllm") -}}
{{- $args := $t.args | default (list "launch" "render" $t.modelName (printf "--port=%d" (int $t.port))) -}}
- name: vllm-render
  image: {{ include "routerlib.image" (dict "root" . "image" $t.image) }}
  imagePullPolicy: {{ $t.image.pullPolicy }}
  command:
    {{- toYaml $command | nindent 4 }}
  args:
    {{- toYaml (concat $args $t.extraArgs) | nindent 4 }}
  env:
  - {name: HOME, value: /models}
  {{- with include "routerlib.env" $t.env }}
  {{- . | nindent 2 }}
  {{- end }}
  ports:
  - {name: render-http, containerPort: {{ $t.port }}, protocol: TCP}
  {{- with $t.readinessProbe }}
  readinessProbe:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $t.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "routerlib.containerSecurity" (dict "root" . "own" $t.securityContext) | nindent 4 }}
  volumeMounts:
  - {name: model-cache, mountPath: /models}
  - {name: tmp, mountPath: /tmp}
  {{- with $t.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "routerlib.predictor.env" -}}
{{- $p := .Values.router.latencyPredictor -}}
{{- $urls := list -}}
{{- range $i := until (int $p.predictionServers.count) }}{{ $urls = append $urls (printf "http://localhost:%d" (add (int $p.predictionServers.startPort) $i)) }}{{ end -}}
- {name: PREDICTION_SERVER_URL, value: {{ join "," $urls | quote }}}
- {name: TRAINING_SERVER_URL, value: "http://localhost:{{ $p.trainingServer.port }}"}
{{- with include "routerlib.env" $p.eppEnv }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "routerlib.predictor.containers" -}}
{{- $p := .Values.router.latencyPredictor -}}
{{- $t := $p.trainingServer -}}
- name: training-server
  image: {{ include "routerlib.image" (dict "root" . "image" $t.image) }}
  imagePullPolicy: {{ $t.image.pullPolicy }}
  envFrom:
  - configMapRef: {name: {{ include "routerlib.epp" . }}-latency-predictor-training}
  env:
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - {name: SERVER_TYPE, value: training}
  ports:
  - {name: training, containerPort: {{ $t.port }}, protocol: TCP}
  livenessProbe:
    {{- toYaml $t.livenessProbe | nindent 4 }}
  readinessProbe:
    {{- toYaml $t.readinessProbe | nindent 4 }}
  resources:
    {{- toYaml $t.resources | nindent 4 }}
  securityContext:
    {{- include "routerlib.containerSecurity" (dict "root" . "own" $t.securityContext) | nindent 4 }}
  volumeMounts:
  - {name: training-server-storage, mountPath: /models}
  - {name: tmp, mountPath: /tmp}
{{- $s := $p.predictionServers }}
{{- range $i := until (int $s.count) }}
{{- $port := add (int $s.startPort) $i }}
- name: prediction-server-{{ add $i 1 }}
  image: {{ include "routerlib.image" (dict "root" $ "image" $s.image) }}
  imagePullPolicy: {{ $s.image.pullPolicy }}
  envFrom:
  - configMapRef: {name: {{ include "routerlib.epp" $ }}-latency-predictor-prediction}
  env:
  - {name: PREDICT_PORT, value: {{ $port | quote }}}
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - {name: SERVER_TYPE, value: prediction-{{ add $i 1 }}}
  - {name: TRAINING_SERVER_URL, value: "http://localhost:{{ $t.port }}"}
  ports:
  - {name: predict-{{ add $i 1 }}, containerPort: {{ $port }}, protocol: TCP}
  livenessProbe:
    {{- toYaml (include "routerlib.predictor.probe" (dict "probe" $s.livenessProbe "port" $port) | fromYaml) | nindent 4 }}
  readinessProbe:
    {{- toYaml (include "routerlib.predictor.probe" (dict "probe" $s.readinessProbe "port" $port) | fromYaml) | nindent 4 }}
  resources:
    {{- toYaml $s.resources | nindent 4 }}
  securityContext:
    {{- include "routerlib.containerSecurity" (dict "root" $ "own" $s.securityContext) | nindent 4 }}
  volumeMounts:
  - {name: prediction-server-{{ add $i 1 }}-storage, mountPath: /server_models}
  - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end -}}

{{- define "routerlib.predictor.probe" -}}
{{- $probe := deepCopy .probe -}}
{{- if and $probe.httpGet (not $probe.httpGet.port) }}{{ $_ := set $probe.httpGet "port" (int .port) }}{{ end -}}
{{- toYaml $probe -}}
{{- end -}}

{{- define "routerlib.predictor.volumes" -}}
{{- $p := .Values.router.latencyPredictor -}}
- name: training-server-storage
  emptyDir: {sizeLimit: {{ $p.trainingServer.volumeSize }}}
{{- range $i := until (int $p.predictionServers.count) }}
- name: prediction-server-{{ add $i 1 }}-storage
  emptyDir: {sizeLimit: {{ $p.predictionServers.volumeSize }}}
{{- end }}
{{- end -}}

{{- define "routerlib.predictor.configMaps" -}}
{{- if .Values.router.latencyPredictor.enabled }}
{{- $p := .Values.router.latencyPredictor }}
{{- range $name, $data := dict "training" $p.trainingServer.config "prediction" (mustMerge (deepCopy $p.predictionServers.config) (dict "TRAINING_SERVER_URL" (printf "http://localhost:%d" (int $p.trainingServer.port)))) }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "routerlib.epp" $ }}-latency-predictor-{{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" $ | nindent 4 }}
data:
  {{- range $key := keys $data | sortAlpha }}
  {{ $key }}: {{ index $data $key | toString | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
