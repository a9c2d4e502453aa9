package ci

import (
	"net/url"
	"strings"
)

// RepositoryName makes of a remote's URL "host/path": the same for ssh and https,
// and without the credentials that CI systems like to put there.
func RepositoryName(remote string) string {
	remote = strings.TrimSuffix(strings.TrimRight(remote, "/"), ".git")
	if u, err := url.Parse(remote); err == nil && u.Host != "" {
		return u.Hostname() + "/" + strings.Trim(u.Path, "/")
	}
	// user@host:path
	if host, path, ok := strings.Cut(remote, ":"); ok && !strings.Contains(host, "/") {
		if _, after, ok := strings.Cut(host, "@"); ok {
			host = after
		}
		return host + "/" + strings.Trim(path, "/")
	}
	return remote
}
