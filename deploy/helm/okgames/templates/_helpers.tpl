{{- define "okgames.labels" -}}
app.kubernetes.io/name: okgames
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What never changes of a pod's labels; takes (list $ "component"). */}}
{{- define "okgames.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: okgames
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "okgames.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* What every pod has in common, services and steps; takes (list $ "name of the ConfigMap"). */}}
{{- define "okgames.pod" -}}
{{- $root := index . 0 -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap: {name: {{ index . 1 }}}
  - name: secrets
    secret: {secretName: {{ $root.Values.secret }}, defaultMode: 0440}
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{- define "okgames.container" -}}
image: {{ include "okgames.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: config, mountPath: /etc/okgames/okgames.toml, subPath: okgames.toml, readOnly: true}
  - {name: secrets, mountPath: /run/secrets/okgames, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- /* The last, because a workload adds to it. */}}
env:
  - {name: OKGAMES_DATABASE_URL_FILE, value: /run/secrets/okgames/database-url}
  - {name: OKGAMES_ADMIN_TOKEN_FILE, value: /run/secrets/okgames/admin-token}
  - {name: OKGAMES_EVENT_LOG, value: "kafka://{{ join "," .Values.kafka.servers }}"}
  - {name: OKGAMES_API_URL, value: "http://{{ .Release.Name }}-promo-scheduler"}
  - {name: OKGAMES_LOG_FORMAT, value: json}
  - {name: OKGAMES_LOG_LEVEL, value: {{ .Values.logLevel }}}
{{- end }}

{{/* Takes a service. */}}
{{- define "okgames.kind" -}}
{{ if .reads }}StatefulSet{{ else }}Deployment{{ end }}
{{- end }}
