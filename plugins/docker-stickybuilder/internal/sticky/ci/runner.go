package ci

import "slices"

// runners are the processes that live as long as one job or longer, as the kernel
// calls them: at most 15 bytes.
var runners = []string{
	"Runner.Worker",   // GitHub: one for each job
	"act_runner",      // Gitea
	"forgejo-runner",  // Forgejo
	"Agent.Worker",    // Azure Pipelines: one for each job
	"gitlab-runner",   // GitLab's shell executor
	"buildkite-agent", // Buildkite: "bootstrap" is one for each job
	"circleci-agent",  // CircleCI
	"circleci-runner",
	"drone-runner-ex",
	"woodpecker-agen",
	"teamcity-agent",
}

// IsRunner reports whether a process of that name runs jobs, so that its end is
// the job's.
func IsRunner(name string) bool { return slices.Contains(runners, name) }
