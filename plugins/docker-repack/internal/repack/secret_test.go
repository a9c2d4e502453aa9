package repack

import "testing"

func TestSecretName(t *testing.T) {
	for kind, names := range map[string][]string{
		"private key": {"root/.ssh/id_rsa", "etc/ssl/private/server.key", "app/Key.PEM", "id_ed25519", "etc/ssh/ssh_host_rsa_key", "a.p12", "k/deploy_rsa", "project-key.json"},
		"credentials": {
			"root/.npmrc", "home/u/.netrc", "root/.docker/config.json", "root/.aws/credentials", "root/.aws/config", ".git-credentials", "root/.kube/config",
			"root/.pypirc", "root/.cargo/credentials.toml", "app/.git/config", "terraform.tfstate.backup", "root/.pgpass", "run/containers/auth.json", "gcp-credentials-1.json",
		},
		"environment file": {"app/.env", "app/.env.production", "prod.env"},
		"password store":   {"x/vault.kdbx"},
		"token":            {"var/run/secrets/kubernetes.io/serviceaccount/token", "root/.vault-token", "github_token", "tokens.json"},
		"secret":           {"app/client_secret.json", "run/secrets/db", "SECRET"},
		"password":         {"etc/db-password", "passwords.txt"},
		"shell history":    {"root/.bash_history"},
		"": {
			"", ".", "root/.ssh/id_rsa.pub", "usr/lib/python3.11/secrets.py", "usr/lib/python3.11/token.py", "etc/ssl/certs/a.pem", "a/certifi/cacert.pem",
			"etc/passwd", "usr/share/doc/keys.html", "usr/bin/env", "config.json", "settings.xml", "usr/include/password.h", "tokenizer.bin", "usr/bin/passwd",
		},
	} {
		for _, name := range names {
			if got := secretName(name); got != kind {
				t.Errorf("%s: got %q, want %q", name, got, kind)
			}
		}
	}
}

func TestSecretPatternsAreSound(t *testing.T) {
	for _, k := range secretNames {
		for _, p := range k.patterns {
			if _, err := matchPattern(p, "x"); err != nil {
				t.Errorf("%s: %v", p, err)
			}
		}
	}
}

func TestSecretPrefix(t *testing.T) {
	for content, want := range map[string]string{
		"-----BEGIN OPENSSH PRIVATE KEY-----\nx":       "private key",
		"a comment\n-----BEGIN RSA PRIVATE KEY-----\n": "private key",
		"-----BEGIN PGP PRIVATE KEY BLOCK-----\n":      "private key",
		"PuTTY-User-Key-File-3: ssh-ed25519":           "private key",
		"-----BEGIN CERTIFICATE-----\nPRIVATE KEY\n":   "",
		"-----BEGIN PUBLIC KEY-----":                   "",
		"nothing":                                      "",
		"":                                             "",
	} {
		if got := secretPrefix([]byte(content)); got != want {
			t.Errorf("%q: got %q, want %q", content, got, want)
		}
	}
}
