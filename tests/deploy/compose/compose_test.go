package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const file = "../../../deploy/compose.yaml"

func TestTheFileIsFine(t *testing.T) {
	if problems := Check(file); len(problems) > 0 {
		t.Error(strings.Join(problems, "\n"))
	}
}

// Each mistake, made in a copy beside the file, is found.
func TestMistakesAreFound(t *testing.T) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, from, to, says string }{
		{"an unknown key", "restart:", "restarts:", "restarts"},
		{"a wrong type", "read_only: true", "read_only: maybe", "read_only"},
		{"a volume that nobody declares", "prometheus:/prometheus", "prometheis:/prometheus", "prometheis"},
		{"a service that is not there", "depends_on: [nashswarm]", "depends_on: [nashwarm]", "nashwarm"},
		{"a port open to all", "127.0.0.1:7070:7070", "7070:7070", "other machines"},
		{"a file that is not there", "./monitoring/alerts.yml", "./monitoring/alert.yml", "not there"},
		{"a mount that can be written to", "prometheus.yml:ro", "prometheus.yml", "may write"},
		{"a Dockerfile that is not there", "build: ..", "build: .", "is built from"},
	} {
		changed := strings.ReplaceAll(string(text), c.from, c.to)
		if changed == string(text) {
			t.Errorf("%s: the file does not have %q", c.name, c.from)
			continue
		}
		if found := strings.Join(Check(write(t, changed)), "\n"); !strings.Contains(found, c.says) {
			t.Errorf("%s: not found; what was: %q", c.name, found)
		}
	}
}

// Paths in the file are relative to where it is: the copy gets links to what is beside the file.
func write(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	folder := filepath.Join(root, "deploy")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"../../../deploy/monitoring": folder + "/monitoring", "../../../Dockerfile": root + "/Dockerfile"} {
		absolute, err := filepath.Abs(from)
		if err == nil {
			err = os.Symlink(absolute, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "compose.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
