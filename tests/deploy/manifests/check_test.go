package main

import (
	"os"
	"strings"
	"testing"
)

var secrets = []string{"nashswarm-tls", "nashswarm-tokens", "nashswarm-stores"}

// RENDERED names a rendering of the overlay ha, HELP what nashswarmd --help prints.
func read(t *testing.T, variable string) string {
	text, err := os.ReadFile(os.Getenv(variable))
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return string(text)
}

func problems(rendered, help string, secrets []string) string {
	objects, found := Parse(rendered)
	return strings.Join(append(found, objects.Check(Flags(help), secrets)...), "\n")
}

func TestTheRenderingIsFine(t *testing.T) {
	if found := problems(read(t, "RENDERED"), read(t, "HELP"), secrets); found != "" {
		t.Error(found)
	}
}

// Each mistake, made in the rendering, is found.
func TestMistakesAreFound(t *testing.T) {
	rendered, help := read(t, "RENDERED"), read(t, "HELP")
	for _, c := range []struct{ name, from, to, says string }{
		{"an unknown field", "minReplicas: 2", "minReplica: 2", `unknown field "minReplica"`},
		{"a wrong type", "minReplicas: 2", "minReplicas: two", "cannot unmarshal"},
		{"a number that a scaler chooses", "spec:\n  selector:\n    matchLabels:", "spec:\n  replicas: 3\n  selector:\n    matchLabels:", "undo what"},
		{"a capability that is kept", "- ALL", "- NET_RAW", "more rights"},
		{"another seccomp profile", "type: RuntimeDefault", "type: Unconfined", "more rights"},
		{"an unknown field of KEDA", "minReplicaCount:", "minReplicas:", "unknown field"},
		{"an unknown field of the operator", "jobLabel:", "jobLable:", "unknown field"},
		{"an unknown kind", "kind: PodDisruptionBudget", "kind: PodBudget", "not a kind"},
		{"a flag that is not there", "NASHSWARM_ROLE", "NASHSWARM_ROLL", "does not read"},
		{"a volume without a mount's name", "name: tokens\n          readOnly", "name: tokenz\n          readOnly", "is no volume"},
		{"a file where nothing is mounted", "/etc/nashswarm/tls/tls.crt", "/etc/nashswarm/tsl/tls.crt", "nothing is mounted"},
		{"a probe of a port that is not there", "port: admin\n          periodSeconds: 5", "port: admim\n          periodSeconds: 5", "which is not there"},
		{"a probe of the wrong page", "/readyz", "/healthz", "the readiness probe asks"},
		{"more for tasks than there is", "value: 7gb", "value: 8gb", "tasks may take"},
		{"no time to drain", "value: 20s", "value: 60s", "before it has drained"},
		{"a scaler of nothing", "name: nashswarm-worker\n  triggers", "name: nashswarm-wroker\n  triggers", "which is not there"},
		{"a service of nothing", "component: api\n    app.kubernetes.io/name: nashswarm\n---\napiVersion: v1\nkind: Service", "component: apis\n    app.kubernetes.io/name: nashswarm\n---\napiVersion: v1\nkind: Service", "selects no pod"},
		{"a port of another number", "port: 7070", "port: 7170", "with the number"},
		{"a monitor of nothing", "nashswarm/scrape: \"true\"\n  name", "nashswarm/scrape: \"false\"\n  name", "selects no Service"},
		{"a writable root", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "more rights"},
		{"a way out that nobody bounds", "policyTypes:\n  - Ingress\n  - Egress", "policyTypes:\n  - Ingress", "reach everything"},
		{"an admin port for everybody", "  - from:\n    - namespaceSelector:\n        matchLabels:\n          kubernetes.io/metadata.name: monitoring\n    ports:", "  - ports:", "lets everybody in"},
		{"a secret that nobody makes", "secretName: nashswarm-tls", "secretName: nashswarm-tsl", "nobody makes"},
	} {
		changed := strings.ReplaceAll(rendered, c.from, c.to)
		if changed == rendered {
			t.Errorf("%s: the rendering does not have %q", c.name, c.from)
		} else if found := problems(changed, help, secrets); !strings.Contains(found, c.says) {
			t.Errorf("%s: not found; what was: %q", c.name, found)
		}
	}
	if found := problems(rendered, help, secrets[:2]); !strings.Contains(found, "nobody makes") {
		t.Error("a Secret that is not the user's was not missed")
	}
}
