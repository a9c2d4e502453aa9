package repack

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// secretNames are patterns of [path.Match] for the end of a path, in lower case:
// with n slashes, for its last n+1 components. The first that fits names the kind.
// To miss a secret is worse than to show a file too many.
var secretNames = []struct {
	kind     string
	patterns []string
}{
	{"private key", []string{
		"id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "ssh_host_*_key", "*.pem", "*.key", "*.ppk", "*.p8", "*.pk8",
		"*.p12", "*.pfx", "*.jks", "*.keystore", "*_rsa", "*_ed25519", "*-key.json", "secring.gpg", "private-keys-v1.d/*",
	}},
	{"credentials", []string{
		"credentials", "credentials.*", "*credentials", "*credentials*.json", "*_creds", "*.creds",
		".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc", "pip.conf", ".condarc", ".netrc", "_netrc", ".git-credentials", ".gitconfig", ".git/config",
		".docker/config.json", ".dockercfg", ".dockerconfigjson", "containers/auth.json", "auth.json", "auth.toml",
		".aws/config", ".azure/*", "gcloud/*.db", "service-account*.json", "service_account*.json", "adc.json",
		".kube/config", "kubeconfig*", "*.kubeconfig", ".s3cfg", ".boto", "rclone.conf", ".config/hub", "gh/hosts.yml", ".msmtprc", ".mailrc",
		".m2/settings.xml", "settings-security.xml", ".gradle/gradle.properties", "nuget.config", ".bundle/config", ".gem/credentials",
		".terraformrc", "terraform.rc", "terraform.tfstate*", "*.tfvars", "*.tfvars.json", "wp-config.php", "database.yml", "master.key",
		".pgpass", ".my.cnf", ".mylogin.cnf", ".htpasswd", "*.htpasswd", "*.keytab", "*.ovpn", "wg*.conf", "*.mobileprovision",
	}},
	{"environment file", []string{".env", ".env.*", "*.env", ".envrc", ".flaskenv"}},
	{"password store", []string{"*.kdb", "*.kdbx", "*.psafe3", "*.agilekeychain", ".password-store/*", "logins.json", "key4.db"}},
	{"token", []string{"token", "tokens", "*.token", "*_token", "*-token", "*token*.json", "*token*.txt", ".*token*", "*apikey*", "*api_key*", "*api-key*"}},
	{"secret", []string{"*secret*", "run/secrets/*", "secrets/*"}},
	{"password", []string{"*passwd*.txt", "*password*", "*passphrase*"}},
	{"shell history", []string{".bash_history", ".zsh_history", ".ash_history", ".sh_history", ".python_history", ".psql_history", ".mysql_history", ".rediscli_history"}},
}

// wordKinds are told by a word in the name, which source code and documentation
// have as well.
var wordKinds = []string{"token", "secret", "password"}

// codeExtensions are of files that are about secrets more often than they are one.
var codeExtensions = []string{
	".a", ".c", ".cc", ".class", ".cpp", ".css", ".d", ".go", ".gz", ".h", ".hpp", ".html", ".java", ".js", ".map", ".md", ".mjs", ".cjs", ".mo", ".o",
	".php", ".pl", ".pm", ".png", ".po", ".py", ".pyc", ".pyi", ".rb", ".rs", ".rst", ".so", ".svg", ".ts", ".tsx", ".1", ".2", ".3", ".5", ".7", ".8",
}

// publicPrefixes are places of certificates that everybody may read.
var publicPrefixes = []string{"etc/ssl/certs/", "etc/pki/ca-trust/", "etc/pki/tls/certs/", "usr/share/ca-certificates/"}

// secretName returns the kind of secret that a path looks like, or "".
func secretName(name string) string {
	name = strings.ToLower(name)
	base, ext := path.Base(name), path.Ext(name)
	if ext == ".pub" || base == "cacert.pem" || slices.ContainsFunc(publicPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
		return ""
	}
	for _, k := range secretNames {
		if slices.Contains(wordKinds, k.kind) && slices.Contains(codeExtensions, ext) {
			continue
		}
		for _, pattern := range k.patterns {
			if ok, _ := matchPattern(pattern, name); ok {
				return k.kind
			}
		}
	}
	return ""
}

func matchPattern(pattern, name string) (bool, error) {
	return path.Match(pattern, tail(name, strings.Count(pattern, "/")+1))
}

// tail returns the last n components of a path.
func tail(name string, n int) string {
	at := len(name)
	for range n {
		if at = strings.LastIndexByte(name[:at], '/'); at < 0 {
			return name
		}
	}
	return name[at+1:]
}

// secretPrefix returns the kind of secret that a content begins like, or "".
func secretPrefix(b []byte) string {
	if _, rest, ok := bytes.Cut(b, []byte("-----BEGIN ")); ok {
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if bytes.Contains(line, []byte("PRIVATE KEY")) {
			return "private key"
		}
	}
	if bytes.HasPrefix(b, []byte("PuTTY-User-Key-File-")) {
		return "private key"
	}
	return ""
}
