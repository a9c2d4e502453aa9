// Package e2e holds the scenarios that need the real thing: the four plugins as
// install.sh installs them, a real buildkitd, registry, runc and engine, with
// umoci, cosign and oras as judges from outside. Run them with "make test".
//
// All of them have the build tag e2e.
package e2e
