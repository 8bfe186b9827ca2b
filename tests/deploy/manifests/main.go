// Checks rendered Kubernetes manifests: every document against the types of the API it names, unknown fields refused, and then
// what the API does not check but a deployment depends on.
//
//	kubectl kustomize OVERLAY | manifests HELP SECRET...
//
// HELP is a file with what `nashswarmd --help` prints; each SECRET is one that the user makes.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: manifests HELP SECRET...")
		os.Exit(2)
	}
	help, err := os.ReadFile(os.Args[1])
	if err == nil {
		var text []byte
		if text, err = io.ReadAll(os.Stdin); err == nil {
			var problems []string
			objects, errs := Parse(string(text))
			problems = append(problems, errs...)
			problems = append(problems, objects.Check(Flags(string(help)), os.Args[2:])...)
			if len(problems) > 0 {
				err = fmt.Errorf("%s", strings.Join(problems, "\n"))
			} else {
				fmt.Printf("%d documents\n", objects.Count)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
