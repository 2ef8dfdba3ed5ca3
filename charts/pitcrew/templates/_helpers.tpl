{{/* Labels: (list $ component own...), where the chart's count before own and commonLabels. A component may be "". */}}
{{- define "pitcrew.labels" -}}
{{- $ := index . 0 -}}
{{- $ours := dict
  "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_")
  "app.kubernetes.io/name" "pitcrew-warmer"
  "app.kubernetes.io/instance" $.Release.Name
  "app.kubernetes.io/version" ($.Values.image.tag | default $.Chart.AppVersion | trunc 63)
  "app.kubernetes.io/part-of" "pitcrew"
  "app.kubernetes.io/managed-by" $.Release.Service
-}}
{{- with index . 1 }}{{ $_ := set $ours "app.kubernetes.io/component" . }}{{ end -}}
{{- range slice . 2 }}{{ $ours = merge $ours . }}{{ end -}}
{{- toYaml (merge $ours $.Values.commonLabels) }}
{{- end }}

{{/* The same for pods, which a new version of the chart alone does not replace. */}}
{{- define "pitcrew.podLabels" -}}
{{- omit (include "pitcrew.labels" . | fromYaml) "helm.sh/chart" | toYaml }}
{{- end }}

{{/* What pods are selected by; (list $ component). */}}
{{- define "pitcrew.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: pitcrew-warmer
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "pitcrew.image" -}}
{{- $i := .Values.image -}}
{{- $name := printf "%s/%s" ($i.registry | trimSuffix "/") $i.repository -}}
{{- if $i.digest }}{{ $name }}@{{ $i.digest }}{{ else }}{{ $name }}:{{ $i.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The one taint that the controller takes away. Whatever tolerations are set, it must keep nobody of us out. */}}
{{- define "pitcrew.coldToleration" -}}
- key: pitcrew.dev/cold
  operator: Exists
  effect: NoSchedule
{{- end }}

{{/*
Objects of files/, which are config/crd and config/rbac of the repository: the same that `kubectl apply` takes. Namespace, labels
and a service account's annotations are the release's. (list $ glob)
*/}}
{{- define "pitcrew.files" -}}
{{- $ := index . 0 -}}
{{- $labels := include "pitcrew.labels" (list $ "") | fromYaml -}}
{{- range $path, $raw := $.Files.Glob (index . 1) }}
{{- range regexSplit "(?m)^---$" ($raw | toString) -1 }}
{{- $o := fromYaml . }}
{{- if hasKey $o "Error" }}{{ fail (printf "%s: %s" $path $o.Error) }}{{ end }}
{{- if $o }}
{{- $_ := set $o.metadata "labels" (merge (dict) $labels) }}
{{- if hasKey $o.metadata "namespace" }}{{ $_ := set $o.metadata "namespace" $.Release.Namespace }}{{ end }}
{{- range $o.subjects }}{{ $_ := set . "namespace" $.Release.Namespace }}{{ end }}
{{- $extra := dict }}
{{- if eq $o.kind "CustomResourceDefinition" }}
{{- if $.Values.crds.keep }}{{ $extra = dict "helm.sh/resource-policy" "keep" }}{{ end }}
{{- else if eq $o.kind "ServiceAccount" }}
{{- $extra = get (dict "pitcrew-warmer-agent" $.Values.agent.serviceAccount.annotations "pitcrew-warmer-controller" $.Values.controller.serviceAccount.annotations) $o.metadata.name }}
{{- end }}
{{- with merge (dict) (default dict $extra) ($o.metadata.annotations | default dict) }}{{ $_ := set $o.metadata "annotations" . }}{{ end }}
---
{{ toYaml $o }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
