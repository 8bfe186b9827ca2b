// Package compose reads a compose file as docker compose does, unknown keys refused, and checks what it depends
// on: files that are mounted are there, read-only, and ports are those of this machine alone.
package compose

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// Check returns what is wrong with a compose file.
func Check(file string) []string {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithWorkingDirectory(filepath.Dir(file)))
	if err != nil {
		return []string{err.Error()}
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	for _, service := range project.Services {
		problems = append(problems, checkService(service)...)
	}
	return problems
}

func checkService(service types.ServiceConfig) []string {
	var problems []string
	say := func(format string, arguments ...any) {
		problems = append(problems, "service "+service.Name+": "+fmt.Sprintf(format, arguments...))
	}
	for _, port := range service.Ports {
		if port.HostIP != "127.0.0.1" {
			say("port %d can be reached from other machines", port.Target)
		}
	}
	for _, volume := range service.Volumes {
		if volume.Type != types.VolumeTypeBind {
			continue
		}
		if _, err := os.Stat(volume.Source); err != nil {
			say("mounts what is not there: %v", err)
		}
		if !volume.ReadOnly {
			say("may write to %s", volume.Source)
		}
	}
	if build := service.Build; build != nil {
		if _, err := os.Stat(filepath.Join(build.Context, build.Dockerfile)); err != nil {
			say("is built from what is not there: %v", err)
		}
	}
	return problems
}
