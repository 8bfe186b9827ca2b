package main

import (
	"fmt"
	"path"
	"strings"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Variables that are not flags of nashswarmd.
var otherVariables = map[string]bool{"PGPASSWORD": true, "AWS_ACCESS_KEY_ID": true, "AWS_SECRET_ACCESS_KEY": true}

type checker struct {
	o        *Objects
	flags    map[string]bool
	secrets  map[string]bool
	problems []string
}

func (c *checker) say(format string, arguments ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, arguments...))
}

// Check returns what is wrong with the documents as a whole.
func (o *Objects) Check(flags map[string]bool, secrets []string) []string {
	c := &checker{o: o, flags: flags, secrets: map[string]bool{}}
	for _, secret := range secrets {
		c.secrets[secret] = true
	}
	for _, d := range o.Deployments {
		c.deployment(d)
		c.network(d)
	}
	for _, s := range o.Services {
		c.service(s)
	}
	for _, b := range o.Budgets {
		if !c.selects(b.Spec.Selector.MatchLabels) {
			c.say("PodDisruptionBudget %q selects no pod", b.Name)
		}
	}
	for _, p := range o.Policies {
		if !c.selects(p.Spec.PodSelector.MatchLabels) {
			c.say("NetworkPolicy %q selects no pod", p.Name)
		}
		for _, rule := range p.Spec.Ingress {
			for _, port := range rule.Ports {
				if port.Port != nil && port.Port.Type == intstr.String && !c.portAnywhere(port.Port.StrVal) {
					c.say("NetworkPolicy %q: no container has a port %q", p.Name, port.Port.StrVal)
				}
			}
		}
	}
	for _, s := range o.Scalers {
		c.target("HorizontalPodAutoscaler "+s.Name, s.Spec.ScaleTargetRef.Name)
	}
	for _, s := range o.ScaledObject {
		c.target("ScaledObject "+s.Name, s.Spec.ScaleTargetRef.Name)
	}
	for _, m := range o.Monitors {
		c.monitor(m.Name, m.Spec.Selector.MatchLabels, m.Spec.Endpoints[0].Port)
	}
	return c.problems
}

func (c *checker) selects(selector map[string]string) bool {
	for _, d := range c.o.Deployments {
		if labels.SelectorFromSet(selector).Matches(labels.Set(d.Spec.Template.Labels)) {
			return true
		}
	}
	return false
}

// Each port of a pod is for somebody, and the admin port asks nobody who they are: without a policy it is for everybody.
func (c *checker) network(d *apps.Deployment) {
	ingress, egress := false, false
	for _, p := range c.o.Policies {
		if !labels.SelectorFromSet(p.Spec.PodSelector.MatchLabels).Matches(labels.Set(d.Spec.Template.Labels)) {
			continue
		}
		for _, kind := range p.Spec.PolicyTypes {
			ingress = ingress || kind == networking.PolicyTypeIngress
			egress = egress || kind == networking.PolicyTypeEgress
		}
		for _, rule := range p.Spec.Ingress {
			if len(rule.From) == 0 || len(rule.Ports) == 0 {
				c.say("NetworkPolicy %q lets everybody in, or to every port", p.Name)
			}
		}
	}
	if !ingress || !egress {
		c.say("Deployment %q can be reached from anywhere, or reach everything: it needs a NetworkPolicy for both ways", d.Name)
	}
}

func (c *checker) target(who, name string) {
	for _, d := range c.o.Deployments {
		if d.Name == name {
			if d.Spec.Replicas != nil {
				c.say("Deployment %q has replicas, which undo what %s chose each time they are applied", name, who)
			}
			return
		}
	}
	c.say("%s scales %q, which is not there", who, name)
}

func (c *checker) portAnywhere(name string) bool {
	for _, d := range c.o.Deployments {
		if _, found := namedPort(&d.Spec.Template.Spec.Containers[0], name); found {
			return true
		}
	}
	return false
}

func namedPort(container *core.Container, name string) (int32, bool) {
	for _, port := range container.Ports {
		if port.Name == name {
			return port.ContainerPort, true
		}
	}
	return 0, false
}

func (c *checker) service(s *core.Service) {
	found := false
	for _, d := range c.o.Deployments {
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)) {
			continue
		}
		found = true
		for _, port := range s.Spec.Ports {
			number, ok := namedPort(&d.Spec.Template.Spec.Containers[0], port.TargetPort.StrVal)
			if !ok || number != port.Port {
				c.say("Service %q: %s has no port %q with the number %d", s.Name, d.Name, port.TargetPort.StrVal, port.Port)
			}
		}
	}
	if !found {
		c.say("Service %q selects no pod", s.Name)
	}
}

func (c *checker) monitor(name string, selector map[string]string, port string) {
	for _, s := range c.o.Services {
		if !labels.SelectorFromSet(selector).Matches(labels.Set(s.Labels)) {
			continue
		}
		for _, p := range s.Spec.Ports {
			if p.Name == port {
				return
			}
		}
	}
	c.say("ServiceMonitor %q selects no Service with a port %q", name, port)
}

func (c *checker) deployment(d *apps.Deployment) {
	pod := &d.Spec.Template.Spec
	if !labels.SelectorFromSet(d.Spec.Selector.MatchLabels).Matches(labels.Set(d.Spec.Template.Labels)) {
		c.say("Deployment %q does not select its own pods", d.Name)
	}
	if len(pod.Containers) != 1 {
		c.say("Deployment %q has %d containers", d.Name, len(pod.Containers))
		return
	}
	container := &pod.Containers[0]
	c.volumes(d.Name, pod)
	c.probes(d.Name, container)
	c.hardening(d.Name, pod)
	values := c.variables(d.Name, container)
	c.resources(d.Name, container, values["NASHSWARM_MEMORY"])
	delay, _ := time.ParseDuration(values["NASHSWARM_DRAIN_DELAY"])
	drain, err := time.ParseDuration(values["NASHSWARM_DRAIN_TIMEOUT"])
	if err != nil || pod.TerminationGracePeriodSeconds == nil ||
		time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second < delay+drain+5*time.Second {
		c.say("Deployment %q is killed before it has drained", d.Name)
	}
	if values["NASHSWARM_DATA"] == "" || !strings.HasSuffix(values["NASHSWARM_METRICS"], ":7071") {
		c.say("Deployment %q has no data directory, or another admin port than 7071", d.Name)
	}
	for variable, value := range values {
		if strings.HasPrefix(value, "/etc/nashswarm/") && !mounted(container, path.Dir(value)) {
			c.say("Deployment %q: %s names %s, where nothing is mounted", d.Name, variable, value)
		}
	}
	if strategy := d.Spec.Strategy.Type; c.keepsState(pod) && strategy != apps.RecreateDeploymentStrategyType {
		c.say("Deployment %q has a volume of its own and would be started twice on it", d.Name)
	}
}

func (c *checker) keepsState(pod *core.PodSpec) bool {
	for _, volume := range pod.Volumes {
		if volume.PersistentVolumeClaim != nil {
			return true
		}
	}
	return false
}

func mounted(container *core.Container, directory string) bool {
	for _, mount := range container.VolumeMounts {
		if mount.MountPath == directory {
			return true
		}
	}
	return false
}

func (c *checker) volumes(name string, pod *core.PodSpec) {
	volumes := map[string]bool{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = true
		if volume.Secret != nil && !c.secrets[volume.Secret.SecretName] {
			c.say("Deployment %q needs the Secret %q, which nobody makes", name, volume.Secret.SecretName)
		}
		if claim := volume.PersistentVolumeClaim; claim != nil {
			found := false
			for _, p := range c.o.Claims {
				found = found || p.Name == claim.ClaimName
			}
			if !found {
				c.say("Deployment %q needs the claim %q, which is not there", name, claim.ClaimName)
			}
		}
	}
	for _, mount := range pod.Containers[0].VolumeMounts {
		if !volumes[mount.Name] {
			c.say("Deployment %q mounts %q, which is no volume", name, mount.Name)
		}
	}
}

func (c *checker) variables(name string, container *core.Container) map[string]string {
	values := map[string]string{}
	for _, variable := range container.Env {
		flag := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable.Name, "NASHSWARM_")), "_", "-")
		isFlag := strings.HasPrefix(variable.Name, "NASHSWARM_") && c.flags[flag]
		if !isFlag && !otherVariables[variable.Name] {
			c.say("Deployment %q sets %s, which nashswarmd does not read", name, variable.Name)
		}
		values[variable.Name] = variable.Value
		if from := variable.ValueFrom; from != nil && from.SecretKeyRef != nil && !c.secrets[from.SecretKeyRef.Name] {
			c.say("Deployment %q needs the Secret %q, which nobody makes", name, from.SecretKeyRef.Name)
		}
	}
	for _, argument := range container.Args {
		if flag := strings.SplitN(strings.TrimPrefix(argument, "--"), "=", 2)[0]; !c.flags[flag] {
			c.say("Deployment %q has the argument %s, which nashswarmd does not know", name, argument)
		}
	}
	return values
}

func (c *checker) probes(name string, container *core.Container) {
	for what, probe := range map[string]*core.Probe{"startup": container.StartupProbe, "liveness": container.LivenessProbe,
		"readiness": container.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			c.say("Deployment %q has no %s probe", name, what)
			continue
		}
		if _, found := namedPort(container, probe.HTTPGet.Port.StrVal); !found {
			c.say("Deployment %q: the %s probe asks a port %q, which is not there", name, what, probe.HTTPGet.Port.StrVal)
		}
		if wanted := map[bool]string{true: "/readyz", false: "/healthz"}[what == "readiness"]; probe.HTTPGet.Path != wanted {
			c.say("Deployment %q: the %s probe asks %s", name, what, probe.HTTPGet.Path)
		}
	}
}

// Tasks may take NASHSWARM_MEMORY; the server itself needs some more.
func (c *checker) resources(name string, container *core.Container, tasks string) {
	request, limit := container.Resources.Requests.Memory(), container.Resources.Limits.Memory()
	if limit.IsZero() || request.Cmp(*limit) != 0 {
		c.say("Deployment %q: memory that is promised and memory that is allowed differ", name)
	}
	var gib int64
	if _, err := fmt.Sscanf(tasks, "%dgb", &gib); err != nil || limit.Value() < (gib<<30)+(1<<29) {
		c.say("Deployment %q: tasks may take %q of a limit of %s", name, tasks, limit)
	}
}

func (c *checker) hardening(name string, pod *core.PodSpec) {
	context, inside := pod.SecurityContext, pod.Containers[0].SecurityContext
	isTrue := func(b *bool) bool { return b != nil && *b }
	isFalse := func(b *bool) bool { return b != nil && !*b }
	if context == nil || inside == nil || !isTrue(context.RunAsNonRoot) || !isTrue(inside.ReadOnlyRootFilesystem) ||
		!isFalse(inside.AllowPrivilegeEscalation) || !isFalse(pod.AutomountServiceAccountToken) ||
		context.SeccompProfile == nil || context.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault ||
		inside.Capabilities == nil || len(inside.Capabilities.Drop) != 1 || inside.Capabilities.Drop[0] != "ALL" ||
		len(inside.Capabilities.Add) > 0 {
		c.say("Deployment %q has more rights than it needs", name)
	}
}
