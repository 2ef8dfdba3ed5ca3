{{- define "stk.name" -}}
{{- .Values.name | default .Release.Name }}
{{- end }}

{{/* Labels: (list $ own...), where the chart's count before own and commonLabels. */}}
{{- define "stk.labels" -}}
{{- $ := index . 0 -}}
{{- $ours := dict
  "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_")
  "app.kubernetes.io/name" "stk-server"
  "app.kubernetes.io/instance" (include "stk.name" $)
  "app.kubernetes.io/part-of" "pitcrew"
  "app.kubernetes.io/managed-by" $.Release.Service
-}}
{{- range slice . 1 }}{{ $ours = merge $ours . }}{{ end -}}
{{- toYaml (merge $ours $.Values.commonLabels) }}
{{- end }}

{{- define "stk.selector" -}}
app.kubernetes.io/name: stk-server
app.kubernetes.io/instance: {{ include "stk.name" . }}
{{- end }}

{{/* The same for pods, which a new version of the chart alone does not replace. */}}
{{- define "stk.podLabels" -}}
{{- omit (include "stk.labels" (list . .Values.podLabels) | fromYaml) "helm.sh/chart" | toYaml }}
{{- end }}

{{- define "stk.sidecarImage" -}}
{{- $i := .Values.sidecar.image -}}
{{- $name := printf "%s/%s" ($i.registry | trimSuffix "/") $i.repository -}}
{{- if $i.digest }}{{ $name }}@{{ $i.digest }}{{ else }}{{ $name }}:{{ $i.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* An image that says which one it is: (list value name-of-the-value hint). */}}
{{- define "stk.pinned" -}}
{{- $ref := index . 0 -}}
{{- if not $ref }}{{ fail (printf "%s: name the image%s" (index . 1) (index . 2)) }}{{ end -}}
{{- if not (or (contains "@sha256:" $ref) (regexMatch ":[^/]+$" $ref)) }}{{ fail (printf "%s: %s has neither tag nor digest, and would be another image tomorrow: write %s:1.4 or %s@sha256:..." (index . 1) $ref $ref $ref) }}{{ end -}}
{{- if hasSuffix ":latest" $ref }}{{ fail (printf "%s: %s: servers of one Fleet would run different images: name a version or a digest" (index . 1) $ref) }}{{ end -}}
{{- $ref }}
{{- end }}

{{/* A number of YAML, without an exponent. */}}
{{- define "stk.plain" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}

{{- define "stk.serverConfig" -}}
{{- range $own, $from := dict "server-name" "name" "server-port" "port" "server-max-players" "players.max" }}
{{- if hasKey $.Values.serverConfig $own }}{{ fail (printf "serverConfig.%s: set %s instead, by which Agones and the sidecar go, too" $own $from) }}{{ end }}
{{- end -}}
<?xml version="1.0"?>
<server-config version="6">
    <server-name value="{{ include "stk.name" . | html }}"/>
    <server-port value="{{ .Values.port }}"/>
    <server-max-players value="{{ .Values.players.max }}"/>
{{- range $name, $value := .Values.serverConfig }}
    <{{ $name }} value="{{ include "stk.plain" $value | html }}"/>
{{- end }}
</server-config>
{{- end }}

{{/* Drops what one address sends beyond a rate. Sets of addresses are bounded, and forget after a minute. */}}
{{- define "stk.rateLimit" -}}
{{- $r := .Values.rateLimit -}}
table inet pitcrew {
  set sources4 { type ipv4_addr; flags dynamic, timeout; timeout 1m; size 65536; }
  set sources6 { type ipv6_addr; flags dynamic, timeout; timeout 1m; size 65536; }
  chain input {
    type filter hook input priority filter; policy accept;
    udp dport {{ .Values.port }} update @sources4 { ip saddr limit rate over {{ $r.packetsPerSecond | int64 }}/second burst {{ $r.burst | int64 }} packets } counter drop
    udp dport {{ .Values.port }} update @sources6 { ip6 saddr limit rate over {{ $r.packetsPerSecond | int64 }}/second burst {{ $r.burst | int64 }} packets } counter drop
  }
}
{{- end }}
