{{/* Every key there is, after values.schema.json: a test writes this file. */}}
{{- define "known" -}}
affinity: null
controlPlane:
  enabled: null
extraArgs: null
fullnameOverride: null
gatewayClass:
  create: null
  name: null
global: null
httpRoute:
  baseModel: null
  create: null
  headerMatches: null
  inferenceGatewayName: null
  inferenceGatewayNamespace: null
  requestTimeout: null
image:
  pullPolicy: null
  repository: null
  tag: null
imagePullSecrets: null
nameOverride: null
namespaces: null
nodeSelector: null
podAnnotations: null
podLabels: null
priorityClassName: null
provider:
  gke:
    preferredBackends:
      balancingMode: null
      capacityScalerPercent: null
      defaultReplicas: null
      enabled: null
      maxRatePerEndpoint: null
      preferredReplicas: null
  istio:
    destinationRule:
      host: null
      trafficPolicy:
        connectionPool: null
  name: null
proxy:
  image:
    repository: null
    tag: null
rbac:
  clusterScope: null
  create: null
replicas: null
resources: null
router: null
service:
  annotations: null
  type: null
serviceAccount:
  annotations: null
  create: null
  name: null
terminationGracePeriodSeconds: null
tolerations: null
{{- end -}}
