{{/* What a schema cannot say: values that do not go together, and the way out. */}}
{{- define "stk.checks" -}}
{{- $v := .Values -}}
{{- if gt (len (include "stk.name" .)) 63 }}{{ fail (printf "name: %s has more than 63 characters, which Agones does not take" (include "stk.name" .)) }}{{ end -}}
{{- $patience := mul $v.health.periodSeconds $v.health.failureThreshold | int -}}
{{- if ge (int $v.sidecar.livenessWindowSeconds) $patience }}
{{- fail (printf "sidecar.livenessWindowSeconds: Agones gives a server up after %d s (health.periodSeconds times failureThreshold), so a window of %d s would never withhold a ping in time: make it shorter, or 0" $patience (int $v.sidecar.livenessWindowSeconds)) }}
{{- end -}}
{{- if lt $patience 3 }}
{{- fail (printf "health: Agones would give a server up after %d s, in which a busy one may well be silent: make periodSeconds times failureThreshold 3 or more" $patience) }}
{{- end -}}
{{- $grace := add $v.drain.timeoutSeconds 60 | int -}}
{{- if and (eq $v.eviction.safe "Always") (gt $grace 600) }}
{{- fail (printf "eviction.safe: with Always the cluster autoscaler waits for 10 minutes, and a drain may take %d s: set drain.timeoutSeconds to 540 or less, or eviction.safe to OnUpgrade" $grace) }}
{{- end -}}
{{- if and (eq $v.eviction.safe "OnUpgrade") (gt $grace 3600) }}
{{- fail (printf "eviction.safe: with OnUpgrade a node waits for an hour, and a drain may take %d s: set drain.timeoutSeconds to 3540 or less, or eviction.safe to Never" $grace) }}
{{- end -}}
{{- if and $v.autoscaler.enabled (not (kindIs "invalid" $v.replicas)) }}
{{- fail "replicas: the autoscaler decides how many servers there are, and each upgrade would set them back: leave it out, or set autoscaler.enabled=false" }}
{{- end -}}
{{- if and (not $v.autoscaler.enabled) (kindIs "invalid" $v.replicas) }}
{{- fail "replicas: without the autoscaler somebody has to say how many servers there shall be" }}
{{- end -}}
{{- if and $v.placement.prefer (not (has $v.placement.prefer $v.placement.architectures)) }}
{{- fail (printf "placement.prefer: %s is not among placement.architectures (%s)" $v.placement.prefer (join ", " $v.placement.architectures)) }}
{{- end -}}
{{- range $v.placement.tolerations }}
{{- if or (eq (.key | default "") "pitcrew.dev/cold") (and (not .key) (eq (.operator | default "") "Exists")) }}
{{- fail "placement.tolerations: one tolerates pitcrew.dev/cold, the taint of nodes that are not warm yet: name the taints that are meant" }}
{{- end -}}
{{- end -}}
{{- range list 8080 9096 9357 9358 }}
{{- if eq (int $v.port) . }}{{ fail (printf "port: %d belongs to the SDK server or the sidecar in the same pod: choose another" .) }}{{ end -}}
{{- end -}}
{{- if eq (int $v.port) 2757 }}{{ fail "port: 2757 is where STK answers the LAN query: choose another" }}{{ end -}}
{{- end }}

{{/* What Agones' own webhook refuses of an autoscaler's policy, said before anything is installed: (list name size least most). */}}
{{- define "stk.checkPolicy" -}}
{{- $size := index . 1 -}}{{- $least := index . 2 | int -}}{{- $most := index . 3 | int -}}
{{- if gt $least $most }}{{ fail (printf "%s: at least %d and at most %d: turn them round" (index . 0) $least $most) }}{{ end -}}
{{- if not (kindIs "string" $size) }}
{{- if gt (int $size) $most }}{{ fail (printf "%s.size: %d is more than there may be at most (%d)" (index . 0) (int $size) $most) }}{{ end -}}
{{- if and (gt $least 0) (lt $least (int $size)) }}{{ fail (printf "%s.size: %d is more than there are at least (%d): raise that, or set it to 0" (index . 0) (int $size) $least) }}{{ end -}}
{{- else if eq $least 0 }}{{ fail (printf "%s.size: %s of nothing is nothing: with a size in percent there has to be one at least" (index . 0) $size) }}
{{- end -}}
{{- end }}
