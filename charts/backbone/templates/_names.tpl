{{- define "backbone.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 47 | trimSuffix "-" -}}
{{- end -}}

{{- define "backbone.headless" -}}
{{ include "backbone.fullname" . }}-pods
{{- end -}}

{{- define "backbone.selector" -}}
app.kubernetes.io/name: backbone
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "backbone.labels" -}}
{{ include "backbone.selector" . }}
app.kubernetes.io/component: backbone
app.kubernetes.io/part-of: switchboard
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | trunc 63 | trimAll "._-" | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "backbone.image" -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
