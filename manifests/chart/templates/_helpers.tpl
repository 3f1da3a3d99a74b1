{{- define "identity-injector.labels" -}}
{{ include "identity-injector.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "identity-injector.selector" -}}
app.kubernetes.io/name: identity-injector
{{- end }}

{{- define "identity-injector.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- /* Variables of the webhook, by name; an empty one is left out. */ -}}
{{- define "identity-injector.variables" -}}
WEBHOOK_BIND: {{ printf "%s:%v" .Values.listenAddress .Values.ports.webhook | quote }}
WEBHOOK_HEALTH: {{ printf "%s:%v" .Values.listenAddress .Values.ports.health | quote }}
WEBHOOK_DRAIN_DELAY: {{ .Values.drainDelaySeconds | quote }}
{{- if eq .Values.certs.mode "files" }}
WEBHOOK_CERTS: files
{{- end }}
{{- if .Values.certs.clientCAConfigMap }}
WEBHOOK_CLIENT_CA: /client-ca/ca.crt
{{- end }}
AZURE_TENANT_ID: {{ .Values.azure.tenantId | quote }}
AZURE_ENVIRONMENT: {{ .Values.azure.cloud | quote }}
AZURE_AUTHORITY_HOST: {{ .Values.azure.authorityHost | quote }}
TOKEN_AUDIENCE: {{ .Values.azure.audience | quote }}
{{- with .Values.proxy }}
PROXY_IMAGE: {{ .image | default (include "identity-injector.image" $) | quote }}
PROXY_CAPTURE: {{ .capture | quote }}
PROXY_NATIVE_SIDECAR: {{ .nativeSidecar | quote }}
PROXY_CPU_REQUEST: {{ .resources.requests.cpu | quote }}
PROXY_CPU_LIMIT: {{ .resources.limits.cpu | quote }}
PROXY_MEMORY_REQUEST: {{ .resources.requests.memory | quote }}
PROXY_MEMORY_LIMIT: {{ .resources.limits.memory | quote }}
IMDS_PASSTHROUGH: {{ .imdsPassthrough | quote }}
{{- end }}
LOG_FORMAT: {{ .Values.log.format | quote }}
LOG_LEVEL: {{ .Values.log.level | quote }}
{{- end }}

{{- /* What the schema can't say. */ -}}
{{- define "identity-injector.check" -}}
{{- $variables := include "identity-injector.variables" . | fromYaml }}
{{- range .Values.extraEnv }}
{{- if or (hasKey $variables .name) (eq .name "POD_NAMESPACE") }}
{{- fail (printf "extraEnv: %s is set by this chart" .name) }}
{{- end }}
{{- end }}
{{- $labels := include "identity-injector.labels" . | fromYaml }}
{{- $given := dict "podLabels" .Values.podLabels "webhookLabels" .Values.webhookLabels
  "serviceMonitor.labels" .Values.serviceMonitor.labels "prometheusRule.labels" .Values.prometheusRule.labels
  "dashboard.labels" .Values.dashboard.labels }}
{{- range $value, $set := $given }}
{{- range $label, $_ := $set }}
{{- if hasKey $labels $label }}{{ fail (printf "%s: %s is set by this chart" $value $label) }}{{ end }}
{{- end }}
{{- end }}
{{- with .Values.certs }}
{{- if eq .mode "self" }}
{{- if .existingSecret }}{{ fail "certs.existingSecret needs certs.mode files" }}{{ end }}
{{- if .caBundle }}{{ fail "certs.caBundle needs certs.mode files" }}{{ end }}
{{- if .certManager.enabled }}{{ fail "certs.certManager needs certs.mode files" }}{{ end }}
{{- else if .certManager.enabled }}
{{- if .existingSecret }}{{ fail "certs.existingSecret and certs.certManager exclude each other" }}{{ end }}
{{- if .caBundle }}{{ fail "certs.caBundle and certs.certManager exclude each other: cert-manager puts it in" }}{{ end }}
{{- if not .certManager.issuerRef.name }}{{ fail "certs.certManager.issuerRef.name is empty: name an issuer of cert-manager" }}{{ end }}
{{- else if not .existingSecret }}
{{- fail "certs.mode is files: set certs.existingSecret or certs.certManager.enabled" }}
{{- end }}
{{- end }}
{{- if eq (int .Values.ports.webhook) (int .Values.ports.health) }}
{{- fail (printf "ports.webhook and ports.health are both %v" .Values.ports.health) }}
{{- end }}
{{- end }}
