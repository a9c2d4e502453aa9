package ci

// gitlab reads the predefined variables; see docs.gitlab.com/ci/variables/
// predefined_variables. Merge requests from forks run in the fork's project by
// default and, when a member of the parent project starts them there, in that.
func gitlab(s Source) Job {
	j := Job{System: "gitlab", Repository: s.Getenv("CI_PROJECT_PATH"), Default: s.Getenv("CI_DEFAULT_BRANCH")}
	if tag := s.Getenv("CI_COMMIT_TAG"); tag != "" {
		j.Ref = "tags/" + tag
		return j
	}
	j.Ref = first(s.Getenv("CI_COMMIT_BRANCH"), s.Getenv("CI_COMMIT_REF_NAME"))
	switch {
	case s.Getenv("CI_MERGE_REQUEST_IID") != "" || s.Getenv("CI_MERGE_REQUEST_EVENT_TYPE") != "" || s.Getenv("CI_PIPELINE_SOURCE") == "merge_request_event":
		iid := s.Getenv("CI_MERGE_REQUEST_IID")
		j.Base = s.Getenv("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
		j.request("merge request "+iid, "merge-requests/"+iid, s.Getenv("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"),
			s.Getenv("CI_MERGE_REQUEST_SOURCE_PROJECT_ID"), s.Getenv("CI_MERGE_REQUEST_PROJECT_ID"), s.Getenv("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH"))
	case s.Getenv("CI_EXTERNAL_PULL_REQUEST_IID") != "":
		iid, from := s.Getenv("CI_EXTERNAL_PULL_REQUEST_IID"), s.Getenv("CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY")
		j.Base = s.Getenv("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME")
		j.request("pull request "+iid, "pull/"+iid, s.Getenv("CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME"),
			from, s.Getenv("CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY"), from)
	}
	return j
}

// request fills in what is to be merged from one project to another.
func (j *Job) request(what, ref, branch, from, to, path string) {
	switch {
	case from != "" && same(from, to):
		j.Ref = first(branch, j.Ref)
		return
	case from == "" || to == "":
		j.Untrusted = "it builds " + what + ", and whether that is a fork's cannot be told"
	default:
		j.Untrusted = what + " comes from the fork " + first(path, "with the id "+from)
	}
	j.Ref = ref
}
