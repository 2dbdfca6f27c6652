{{- /* Nine tenths of `size`: what a volume has is less than what was asked for, and a full one stops JetStream. */ -}}
{{- define "backbone.store" -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexFind "[A-Z].$" . -}}
{{- $smaller := dict "Ti" "Gi" "Gi" "Mi" "Mi" "Ki" -}}
{{- printf "%d%s" (div (mul $number 1024 9) 10) (get $smaller $unit) -}}
{{- end -}}

{{- define "backbone.tls" -}}
tls {
  cert_file: {{ printf "%s/tls/tls.crt" .dir | quote }}
  key_file: {{ printf "%s/tls/tls.key" .dir | quote }}
  {{- if .verify }}
  ca_file: {{ printf "%s/tls/ca.crt" .dir | quote }}
  verify: true
  {{- end }}
}
{{- end -}}

{{- /*
nats.conf. What differs between the servers of a backbone comes from the environment: SERVER_NAME, STORE_DIR, and the addresses to listen
on, CLIENT_LISTEN, MONITOR_LISTEN, ROUTE_LISTEN, LEAF_LISTEN.
*/ -}}
{{- define "backbone.nats.conf" -}}
{{- $dir := default "/etc/nats" .Values.local.configDir -}}
{{- $name := include "backbone.fullname" . -}}
server_name: $SERVER_NAME
listen: $CLIENT_LISTEN
http: $MONITOR_LISTEN
{{- with .Values.expose.host }}
client_advertise: {{ . | quote }}
{{- end }}
max_payload: {{ .Values.limits.maxPayload }}
max_control_line: {{ .Values.limits.maxControlLine }}
max_connections: {{ int64 .Values.limits.maxConnections }}
lame_duck_grace_period: 5s
lame_duck_duration: 30s
jetstream {
  store_dir: $STORE_DIR
  domain: {{ default $name .Values.jetstream.domain | quote }}
  sync_interval: {{ .Values.jetstream.syncInterval }}
  {{- if eq .Values.jetstream.storage "file" }}
  max_file_store: {{ include "backbone.store" .Values.jetstream.size }}
  max_memory_store: 256Mi
  {{- else }}
  max_memory_store: {{ include "backbone.store" .Values.jetstream.size }}
  max_file_store: 16Mi
  {{- end }}
}
{{- if .Values.tls.secret }}
{{ include "backbone.tls" (dict "dir" $dir "verify" .Values.tls.verify) }}
{{- end }}
{{- if gt (int .Values.replicas) 1 }}
cluster {
  name: {{ $name | quote }}
  listen: $ROUTE_LISTEN
  no_advertise: true
  routes: [
    {{- if .Values.local.routes }}
    {{- range .Values.local.routes }}
    {{ printf "nats-route://%s" . | quote }}
    {{- end }}
    {{- else }}
    {{- range until (int .Values.replicas) }}
    {{ printf "nats-route://%s-%d.%s:6222" $name . (include "backbone.headless" $) | quote }}
    {{- end }}
    {{- end }}
  ]
}
{{- end }}
{{- if or .Values.leafnodes.enabled .Values.leafnodes.remotes }}
leafnodes {
  {{- if .Values.leafnodes.enabled }}
  listen: $LEAF_LISTEN
  {{- with .Values.leafnodes.host }}
  advertise: {{ . | quote }}
  {{- end }}
  {{- if .Values.tls.secret }}
  {{- include "backbone.tls" (dict "dir" $dir "verify" .Values.tls.verify) | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- with .Values.leafnodes.remotes }}
  remotes: [
    {{- range $index, $remote := . }}
    {
      urls: [{{ range $place, $url := $remote.urls }}{{ if $place }}, {{ end }}{{ $url | quote }}{{ end }}]
      {{- with $remote.account }}
      account: {{ . | quote }}
      {{- end }}
      {{- if $remote.credentialsSecret }}
      credentials: {{ printf "%s/remotes/%d/creds" $dir $index | quote }}
      {{- end }}
      deny_imports: ["sb.>", "submit.>", "request.>"]
      deny_exports: ["sb.>", "submit.>", "request.>"]
    }
    {{- end }}
  ]
  {{- end }}
}
{{- end }}
{{- if .Values.auth.secret }}
include auth/auth.conf
{{- end }}
{{- with .Values.auth.operator }}
operator: {{ . | quote }}
system_account: {{ $.Values.auth.systemAccount }}
resolver { type: full, dir: $RESOLVER_DIR, allow_delete: false, interval: "30s" }
resolver_preload {
  {{- range $account, $token := $.Values.auth.accounts }}
  {{ $account }}: {{ $token | quote }}
  {{- end }}
}
{{- end }}
{{- end -}}
