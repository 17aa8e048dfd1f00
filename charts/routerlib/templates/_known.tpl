{{/* Every key there is, after values.schema.json: a test writes this file. */}}
{{- define "routerlib.known" -}}
clusterDomain: null
containerSecurityContext: null
epp:
  affinity: null
  autoscaling:
    enabled: null
    maxReplicas: null
    minReplicas: null
    targetCPUUtilizationPercentage: null
  deploymentStrategy: null
  env: null
  extProcPort: null
  extraContainerPorts: null
  flags: null
  grpcHealthPort: null
  image:
    pullPolicy: null
    registry: null
    repository: null
    tag: null
  metricsDataSource:
    insecureSkipVerify: null
    path: null
    scheme: null
  nodeSelector: null
  parsers: null
  pluginsConfigFile: null
  pluginsCustomConfig: null
  podAnnotations: null
  podDisruptionBudget:
    enabled: null
    maxUnavailable: null
  podLabels: null
  podSecurityContext: null
  priorityClassName: null
  replicas: null
  resources: null
  securityContext: null
  terminationGracePeriodSeconds: null
  tolerations: null
  topologySpreadConstraints: null
  volumeMounts: null
  volumes: null
extraServicePorts: null
global: null
imagePullSecrets: null
inferenceObjectives: null
inferencePool:
  create: null
  failureMode: null
latencyPredictor:
  enabled: null
  eppEnv: null
  predictionServers:
    config: null
    count: null
    image:
      pullPolicy: null
      registry: null
      repository: null
      tag: null
    livenessProbe: null
    readinessProbe: null
    resources: null
    securityContext: null
    startPort: null
    volumeSize: null
  trainingServer:
    config: null
    image:
      pullPolicy: null
      registry: null
      repository: null
      tag: null
    livenessProbe: null
    port: null
    readinessProbe: null
    resources: null
    securityContext: null
    volumeSize: null
metricsPort: null
modelServers:
  matchLabels: null
  protocol: null
  targetPorts: null
  type: null
monitoring:
  dashboards:
    annotations: null
    enabled: null
    labels: null
  interval: null
  prometheus:
    auth:
      enabled: null
      secretName: null
    enabled: null
    extraLabels: null
  provider:
    gmp:
      autopilot: null
    name: null
networkPolicy:
  clients: null
  enabled: null
  monitoring: null
  pickerClients: null
podSecurityContext: null
proxy:
  affinity: null
  args: null
  autoscaling:
    enabled: null
    maxReplicas: null
    minReplicas: null
    targetCPUUtilizationPercentage: null
  bindAddress: null
  command: null
  config: null
  configMap:
    data: null
    name: null
  drainSeconds: null
  enabled: null
  env: null
  failOpen: null
  image: null
  imagePullPolicy: null
  lifecycle: null
  livenessProbe: null
  mode: null
  name: null
  nodeSelector: null
  podAnnotations: null
  podDisruptionBudget:
    enabled: null
    maxUnavailable: null
  podLabels: null
  podSecurityContext: null
  ports: null
  presets: null
  priorityClassName: null
  proxyType: null
  readinessProbe: null
  replicas: null
  resources: null
  securityContext: null
  serviceAnnotations: null
  serviceType: null
  startupProbe: null
  tolerations: null
  topologySpreadConstraints: null
  volumeMounts: null
  volumes: null
  xds:
    tls: null
rbac:
  clusterScope: null
tokenizer:
  args: null
  command: null
  enabled: null
  env: null
  extraArgs: null
  image:
    pullPolicy: null
    registry: null
    repository: null
    tag: null
  initContainers: null
  modelName: null
  port: null
  readinessProbe: null
  resources: null
  securityContext: null
  volumeMounts: null
  volumes: null
tracing:
  enabled: null
  otelExporterEndpoint: null
  sampling:
    sampler: null
    samplerArg: null
{{- end -}}
