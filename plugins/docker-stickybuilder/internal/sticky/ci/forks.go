package ci

// elsewhere knows what other systems say of pull requests from forks. The repository and its
// branch are for git to tell.
func elsewhere(s Source) Job {
	is := func(name string) bool { return s.Getenv(name) != "" && !same(s.Getenv(name), "false") }
	for _, c := range []struct {
		system, number, base string // variables
		fork                 func() string
	}{
		{"azure", first(s.Getenv("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER"), s.Getenv("SYSTEM_PULLREQUEST_PULLREQUESTID")), s.Getenv("SYSTEM_PULLREQUEST_TARGETBRANCHNAME"), func() string {
			if is("SYSTEM_PULLREQUEST_ISFORK") {
				return first(RepositoryName(s.Getenv("SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI")), "that it does not name")
			}
			return ""
		}},
		{"buildkite", s.Getenv("BUILDKITE_PULL_REQUEST"), s.Getenv("BUILDKITE_PULL_REQUEST_BASE_BRANCH"), func() string {
			if from := s.Getenv("BUILDKITE_PULL_REQUEST_REPO"); is("BUILDKITE_PULL_REQUEST") && from != "" && !same(RepositoryName(from), RepositoryName(s.Getenv("BUILDKITE_REPO"))) {
				return RepositoryName(from)
			}
			return ""
		}},
		{"jenkins", s.Getenv("CHANGE_ID"), s.Getenv("CHANGE_TARGET"), func() string { return s.Getenv("CHANGE_FORK") }},
		{"circleci", s.Getenv("CIRCLE_PR_NUMBER"), "", func() string {
			if name := s.Getenv("CIRCLE_PR_REPONAME"); name != "" { // of forks alone
				return s.Getenv("CIRCLE_PR_USERNAME") + "/" + name
			}
			return ""
		}},
		{"travis", s.Getenv("TRAVIS_PULL_REQUEST"), s.Getenv("TRAVIS_BRANCH"), func() string {
			if from := s.Getenv("TRAVIS_PULL_REQUEST_SLUG"); is("TRAVIS_PULL_REQUEST") && !same(from, s.Getenv("TRAVIS_REPO_SLUG")) {
				return first(from, "that is gone")
			}
			return ""
		}},
	} {
		if fork := c.fork(); fork != "" {
			return Job{System: c.system, Ref: "pull/" + c.number, Base: c.base, Untrusted: "pull request " + c.number + " comes from the fork " + fork}
		}
	}
	return Job{}
}
