package main

import (
	"fmt"
	"regexp"
	"strings"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// Objects are the documents of one rendering, by kind.
type Objects struct {
	Count        int
	Deployments  []*apps.Deployment
	Services     []*core.Service
	ConfigMaps   []*core.ConfigMap
	Claims       []*core.PersistentVolumeClaim
	Scalers      []*autoscaling.HorizontalPodAutoscaler
	Budgets      []*policy.PodDisruptionBudget
	Policies     []*networking.NetworkPolicy
	ScaledObject []*keda.ScaledObject
	Monitors     []*monitoring.ServiceMonitor
	Rules        []*monitoring.PrometheusRule
}

// One kind: where its documents go.
func add[T any](list *[]*T) func(string) error {
	return func(document string) error {
		object := new(T)
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			return err
		}
		*list = append(*list, object)
		return nil
	}
}

// Parse reads all documents. An unknown kind, or a field that the kind does not have, is a problem.
func Parse(text string) (*Objects, []string) {
	o := &Objects{}
	kinds := map[string]func(string) error{
		"apps/v1 Deployment":                      add(&o.Deployments),
		"v1 Service":                              add(&o.Services),
		"v1 ConfigMap":                            add(&o.ConfigMaps),
		"v1 PersistentVolumeClaim":                add(&o.Claims),
		"autoscaling/v2 HorizontalPodAutoscaler":  add(&o.Scalers),
		"policy/v1 PodDisruptionBudget":           add(&o.Budgets),
		"networking.k8s.io/v1 NetworkPolicy":      add(&o.Policies),
		"keda.sh/v1alpha1 ScaledObject":           add(&o.ScaledObject),
		"monitoring.coreos.com/v1 ServiceMonitor": add(&o.Monitors),
		"monitoring.coreos.com/v1 PrometheusRule": add(&o.Rules),
	}
	var problems []string
	for _, document := range regexp.MustCompile(`(?m)^---\n`).Split(text, -1) {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Metadata   struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			problems = append(problems, fmt.Sprintf("a document is not YAML: %v", err))
			continue
		}
		kind := head.APIVersion + " " + head.Kind
		read, known := kinds[kind]
		if !known {
			problems = append(problems, fmt.Sprintf("%s %q: not a kind that is checked here", kind, head.Metadata.Name))
			continue
		}
		if err := read(document); err != nil {
			problems = append(problems, fmt.Sprintf("%s %q: %v", head.Kind, head.Metadata.Name, err))
		}
		o.Count++
	}
	return o, problems
}

// Flags are the long flags that the help names.
func Flags(help string) map[string]bool {
	flags := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^ +(?:-\w,)?--([a-z0-9-]+)`).FindAllStringSubmatch(help, -1) {
		flags[match[1]] = true
	}
	return flags
}
